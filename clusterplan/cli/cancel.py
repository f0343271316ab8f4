"""`clusterplan cancel`."""

import os

import click

from ..cluster_profiles.units import listed
from ..errors import InputError
from ..launcher.registered import find_folders
from ..launcher.run_folder import history_path
from ..launcher.run_state import OPEN
from ..launcher.status import cancel as cancel_run


@click.command()
@click.argument("run")
def cancel(run: str) -> None:
    """Stop a run for good; it gets its stop signal, and the time to save that Slurm leaves it."""
    folder, *others = find_folders(history_path(os.environ), "submit", run)
    if others:
        named = listed(found.name for found in (folder, *others))
        raise InputError(f"run {run!r} is ambiguous: say one of {named}")
    before = cancel_run(folder)
    if before.state in OPEN:
        click.echo(f"{folder.name}: asked to stop; it was {before.state}")
    else:
        click.echo(f"{folder.name}: had ended before ({before.state})")
