"""What a run prints, while it does: shared by `logs -f` and `submit --follow`."""

import shutil
import sys
import time
from pathlib import Path

import click

from ..launcher.run_folder.final_status import read_final_status
from ..launcher.run_folder.folder import LOGS, SUBMITIT
from ..launcher.runs.state import State
from ..launcher.runs.status import RunStatus, read_statuses
from ..launcher.sampler.recent import recent_utilisation
from ..render import status_text
from .options import say

_LOOK_S = 0.3
_ASK_S = 5.0
_INTERRUPTED = 130


def follow(folder: Path, rank: int = 0) -> RunStatus:
    """Print what a task of the run prints, until the run ends; its status then.

    On a terminal the last line says how the run is going.  Ctrl-C ends the following, not the run.
    """
    screen = _Screen()
    shown: Path | None = None
    position, asked_at, busy = 0, 0.0, None
    try:
        while True:
            ended = read_final_status(folder) is not None
            if ended or time.monotonic() - asked_at > _ASK_S:
                asked_at = time.monotonic()
                status = read_statuses([folder])[0]
                ended = status.state.final
                busy = recent_utilisation(folder) if status.state.state is State.RUNNING else None
            path = log(folder, rank)
            if path and not shown:
                asked_at = 0.0  # it waits no longer
            position = screen.printed(path, position if path == shown else 0) if path else 0
            shown = path
            if ended:
                screen.clear()
                reason = f", {status.state.reason}" if status.state.reason else ""
                say(f"{folder.name}: {status.state.state}{reason}")
                return status
            screen.show(status_text.live(status, busy))
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        screen.clear()
        say(
            f"{folder.name} goes on without you: `clusterplan logs -f {folder.name}` shows it again, "
            f"`clusterplan cancel {folder.name}` stops it"
        )
        raise click.exceptions.Exit(_INTERRUPTED) from None


def log(folder: Path, rank: int) -> Path | None:
    """The command's own words; where it never started, what was said of that."""
    own = folder / LOGS / f"{rank}.log"
    if own.exists() and own.stat().st_size:
        return own
    others = [p for p in (folder / SUBMITIT).glob(f"*_{rank}_log.err") if p.stat().st_size]
    return max(others, key=lambda p: p.stat().st_mtime, default=None)


class _Screen:
    """The log, and on a terminal a live line under it; in a pipe or a file the log alone."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = ""
        self._at_start = True  # of a line: a live line in the middle of one would tear it

    def printed(self, path: Path, position: int) -> int:
        """Print the log from `position` on; where it ends now."""
        with path.open("rb") as file:
            file.seek(position)
            while block := file.read(1 << 16):
                self.clear()
                click.echo(block, nl=False)
                self._at_start = block.endswith(b"\n")
            return file.tell()

    def show(self, text: str) -> None:
        """Put the live line there, in place of the last."""
        text = text[: shutil.get_terminal_size().columns - 1]
        if self._live and self._at_start and text != self._shown:
            click.echo(f"\r\x1b[K{text}", nl=False)
            self._shown = text

    def clear(self) -> None:
        """Take the live line away."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False)
            self._shown = ""
