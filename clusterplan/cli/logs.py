"""`clusterplan logs`."""

import os
import time
from pathlib import Path

import click

from ..errors import InputError
from ..launcher.registered import find_folder, folders
from ..launcher.run_folder import LOGS, SUBMITIT, history_path
from ..launcher.status import statuses

_FOLLOW_S = 0.5
_ASK_S = 5.0


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
    folder = find_folder(folders(history_path(os.environ), kind="submit"), run)
    path = _log(folder, rank)
    if path is None and not follow:
        raise InputError(f"{folder.name}: task {rank} has printed nothing yet")
    position, asked = 0, 0.0
    while True:
        path = path or _log(folder, rank)
        position = _printed(path, position) if path else position
        if not follow:
            return
        if time.monotonic() - asked > _ASK_S:
            asked = time.monotonic()
            state = statuses([folder])[0].state
            if state.final:
                if path:
                    _printed(path, position)
                click.echo(f"{folder.name}: {state.state} {state.reason}".rstrip(), err=True)
                return
        time.sleep(_FOLLOW_S)


def _log(folder: Path, rank: int) -> Path | None:
    """The command's own words; where it never started, what was said of that."""
    own = folder / LOGS / f"{rank}.log"
    if own.exists() and own.stat().st_size:
        return own
    others = [p for p in (folder / SUBMITIT).glob(f"*_{rank}_log.err") if p.stat().st_size]
    return max(others, key=lambda p: p.stat().st_mtime, default=None)


def _printed(path: Path, position: int) -> int:
    with path.open("rb") as file:
        file.seek(position)
        while block := file.read(1 << 16):
            click.echo(block, nl=False)
        return file.tell()
