"""`clusterplan logs`."""

from pathlib import Path

import click

from ..api.logs import find_failed_log, find_log, find_logs, find_run_folders, get_log, log_of_rank
from ..launcher.logs.tail import last_lines_offset
from . import following
from .options import choose_latest, say

_BLOCK_BYTES = 1 << 16


@click.command()
@click.argument("run", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as the run prints more, until it ends.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Print only the last N lines.", metavar="N")
@click.option(
    "--rank",
    type=click.IntRange(min=0),
    help="Print the log of this rank.  Default: the rank that failed first; otherwise 0.",
)
@click.option("--all", "every", is_flag=True, help="Print the logs of all ranks, each line after its rank.")
def logs(run: str | None, follow: bool, lines: int | None, rank: int | None, every: bool) -> None:  # noqa: FBT001
    """Print the log of a run, with all its attempts one after another.

    RUN is an id or the beginning of one.  Default: the latest run.  With torchrun there is one log per node, which has
    all ranks of that node.
    """
    if every and (follow or rank is not None):
        raise click.UsageError(
            f"--all prints every rank once: leave out {'--follow' if follow else '--rank'}"
        )
    folders = {folder.name: folder for folder in find_run_folders(run)}
    folder = folders[choose_latest(list(folders), run)]
    if follow:
        following.follow(folder, log_of_rank(folder, rank or 0), lines)
        return
    paths = find_logs(folder) if every else []
    if paths:
        for path in paths:
            _print_with_rank(path, lines)
        return
    number = _choose_log(folder) if rank is None else log_of_rank(folder, rank)
    _print(get_log(folder, number), lines)


def _choose_log(folder: Path) -> int:
    """Return the number of the log of the rank that failed first, and say so; 0 if none failed."""
    failed = find_failed_log(folder)
    if failed is None:
        return 0
    number, whose = failed
    if len(find_logs(folder)) > 1 and find_log(folder, number):
        say(f"the log of {whose}, which failed first; --rank N shows another, --all shows every one")
    return number


def _print(path: Path, lines: int | None) -> None:
    with path.open("rb") as file:
        if lines is not None:
            file.seek(last_lines_offset(path, lines))
        while block := file.read(_BLOCK_BYTES):
            click.echo(block, nl=False)


def _print_with_rank(path: Path, lines: int | None) -> None:
    with path.open("rb") as file:
        if lines is not None:
            file.seek(last_lines_offset(path, lines))
        for line in file:
            click.echo(f"{path.stem}: ".encode() + line.rstrip(b"\n"))
