"""`clusterplan cancel`."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from ..cluster_profiles.units import join_names
from ..errors import InputError
from ..launcher.run_folder.final_status import has_final_status
from ..launcher.run_folder.folder import history_path
from ..launcher.run_folder.registry import find_folders
from ..launcher.runs.state import OPEN_STATES
from ..launcher.runs.status import cancel_runs, read_statuses


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--all", "every", is_flag=True, help="Every run that goes on and whose id begins with RUN.")
def cancel(runs: tuple[str, ...], every: bool) -> None:  # noqa: FBT001
    """Stop runs for good; each gets its stop signal, and the time to save that Slurm leaves it.

    RUN is an id, or a beginning that no other run that goes on has.
    """
    meant = dict.fromkeys(folder for run in runs for folder in _meant(run, every=every))
    for before in cancel_runs(list(meant)):
        if before.state.state in OPEN_STATES:
            click.echo(f"{before.run}: asked to stop; it was {before.state.state}")
        else:
            click.echo(f"{before.run}: had ended before ({before.state.state})")


def _meant(run: str, *, every: bool) -> Iterator[Path]:
    """The run, or with `every` all; where none goes on, the latest."""
    if not run:  # as of a variable that is not set
        raise InputError("RUN is empty, and every run begins so: give an id, or a beginning of one")
    found = find_folders(history_path(os.environ), "submit", run)
    candidates = [folder for folder in found if not has_final_status(folder)]
    if len(candidates) > 1:
        candidates = [s.folder for s in read_statuses(candidates) if s.state.state in OPEN_STATES]
    if len(candidates) > 1 and not every:
        named = join_names(folder.name for folder in candidates)
        raise InputError(f"{len(candidates):,} runs begin with {run!r}: say which, {named}, or --all")
    yield from candidates or found[:1]
