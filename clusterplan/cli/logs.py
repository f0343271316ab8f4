"""`clusterplan logs`."""

import os
from pathlib import Path

import click

from ..cluster_profiles.units import join_names
from ..errors import InputError
from ..launcher.run_folder.folder import LOGS, history_path
from ..launcher.run_folder.registry import find_folders
from ..launcher.runs.status import read_statuses
from . import following
from .options import the_latest


@click.command()
@click.argument("run", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as the run prints more, until it ends.")
@click.option(
    "--rank", type=click.IntRange(min=0), default=0, show_default=True, help="Whose: a task's number."
)
def logs(run: str | None, follow: bool, rank: int) -> None:  # noqa: FBT001
    """What a run printed, all its starts after one another; RUN is an id or its beginning, else the latest.

    With torchrun a task is a node, and its log has all ranks of that node.
    """
    found = {folder.name: folder for folder in find_folders(history_path(os.environ), "submit", run)}
    folder = found[the_latest(list(found), run)]
    if follow:
        following.follow(folder, rank)
        return
    path = following.log(folder, rank)
    if path is None:
        raise InputError(_nothing_of(folder, rank))
    with path.open("rb") as file:
        while block := file.read(1 << 16):
            click.echo(block, nl=False)


def _nothing_of(folder: Path, rank: int) -> str:
    yet = "" if read_statuses([folder])[0].state.final else " yet"
    others = sorted(int(path.stem) for path in (folder / LOGS).glob("*.log") if path.stat().st_size)
    elsewhere = f"; try --rank {join_names(map(str, others))}" if others else ""
    return f"{folder.name}: task {rank} has printed nothing{yet}{elsewhere}"
