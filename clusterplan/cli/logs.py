"""`clusterplan logs`."""

from pathlib import Path

import click

from ..api.logs import (
    check_rank,
    find_failed_log,
    find_log,
    find_logs,
    find_run_folders,
    log_of_rank,
)
from ..cluster_profiles.visible_text import show_controls
from ..launcher.logs.tail import last_lines_offset
from ..launcher.runs.run_status import RunStatus
from ..launcher.runs.status import read_status
from ..render.runs import ending_text
from . import following
from .completion import complete_run
from .options import choose_latest, echo_bytes, say

_BLOCK_BYTES = 1 << 16


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
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

    RUN is an id or the beginning of one.  Default: the latest run.  With torchrun each node has one log, for all its
    ranks.  For a run that has ended, the last lines say how it ended and how it goes on.

        clusterplan logs -f train-2026
    """
    if every and (follow or rank is not None):
        raise click.UsageError(
            f"--all prints every rank once: leave out {'--follow' if follow else '--rank'}"
        )
    folders = {folder.name: folder for folder in find_run_folders(run)}
    folder = folders[choose_latest(list(folders), run)]
    if rank is not None:
        check_rank(folder, rank)
    if follow:
        following.follow(folder, log_of_rank(folder, rank or 0), lines)
        return
    status = read_status(folder)
    if every and (paths := find_logs(folder)):
        for path in paths:
            _print_with_rank(path, lines)
    else:
        number = _choose_log(status) if rank is None else log_of_rank(folder, rank)
        paths = [log] if (log := find_log(folder, number)) else []
        for path in paths:
            _print(path, lines)
    if not paths:
        say(ending_text.describe_silence(status, [path.stem for path in find_logs(folder)]))
    for line in ending_text.end_lines(status):
        say(line)


def _choose_log(status: RunStatus) -> int:
    """Return the number of the log of the rank that failed first, and say so; 0 if none failed."""
    failed = find_failed_log(status)
    if failed is None:
        return 0
    number, whose = failed
    if len(find_logs(status.folder)) > 1:
        say(f"the log of {whose}, which failed first; --rank N shows another, --all shows every one")
    return number


def _print(path: Path, lines: int | None) -> None:
    with path.open("rb") as file:
        if lines is not None:
            file.seek(last_lines_offset(path, lines))
        while block := file.read(_BLOCK_BYTES):
            echo_bytes(block)


def _print_with_rank(path: Path, lines: int | None) -> None:
    with path.open("rb") as file:
        if lines is not None:
            file.seek(last_lines_offset(path, lines))
        rank = show_controls(path.stem)
        for line in file:
            echo_bytes(f"{rank}: ".encode() + line.removesuffix(b"\n") + b"\n")
