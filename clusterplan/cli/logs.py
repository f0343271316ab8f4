"""`clusterplan logs`."""

import click

from ..api.logs import find_run_folders, get_log
from . import following
from .options import choose_latest


@click.command()
@click.argument("run", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as the run prints more, until it ends.")
@click.option(
    "--rank",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Print the log of this task.",
)
def logs(run: str | None, follow: bool, rank: int) -> None:  # noqa: FBT001
    """Print the log of a run, with all its attempts one after another.

    RUN is an id or the beginning of one.  Default: the latest run.  With torchrun there is one task per node, and its log
    has all ranks of that node.
    """
    folders = {folder.name: folder for folder in find_run_folders(run)}
    folder = folders[choose_latest(list(folders), run)]
    if follow:
        following.follow(folder, rank)
        return
    with get_log(folder, rank).open("rb") as file:
        while block := file.read(1 << 16):
            click.echo(block, nl=False)
