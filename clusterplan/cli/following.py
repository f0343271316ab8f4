"""What a run prints, while it does: shared by `logs -f` and `submit --follow`."""

import shutil
import sys
from pathlib import Path

import click

from ..api.logs import watch
from ..launcher.logs.tail import last_lines_offset
from ..launcher.runs.run_status import RunStatus
from ..launcher.runs.state import State
from ..render.runs import ending_text, status_text
from .options import echo_bytes, say, show_live
from .working import leave_terminal

_INTERRUPTED = 130


def follow(folder: Path, rank: int = 0, last_lines: int | None = None) -> RunStatus:
    """Print the log of a task until the run ends; return its status then.

    It begins with the last `last_lines` of the log, by default with all.  On a terminal the last line says how the run
    is going.  Ctrl-C ends the following, not the run.
    """
    leave_terminal()
    screen = _Screen()
    log: Path | None = None
    position = 0
    try:
        for look in watch(folder, rank):
            if look.log:
                if look.log != log:
                    position = 0 if last_lines is None else last_lines_offset(look.log, last_lines)
                position = screen.print_from(look.log, position)
            log, status = look.log, look.status
            if not look.ended:
                screen.show(status_text.render_live(status, look.utilisation_percent))
    except KeyboardInterrupt:
        screen.clear()
        say(
            f"{folder.name} goes on without you: `clusterplan logs -f {folder.name}` shows it again, "
            f"`clusterplan cancel {folder.name}` stops it"
        )
        raise click.exceptions.Exit(_INTERRUPTED) from None
    screen.clear()
    for line in ending_text.end_lines(status) or [f"{folder.name}: {status.state.state}"]:
        say(line)
    return status


def follow_to_end(folder: Path) -> None:
    """Show a run until it ends; like a command of its own, it fails if the run did."""
    if follow(folder).state.state is not State.COMPLETED:
        raise click.exceptions.Exit(1)


class _Screen:
    """The log, and on a terminal a live line under it; in a pipe or a file the log alone."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = ""
        self._at_start = True  # of a line: a live line in the middle of one would tear it

    def print_from(self, path: Path, position: int) -> int:
        """Print the log from `position` on; return its end."""
        with path.open("rb") as file:
            file.seek(position)
            while block := file.read(1 << 16):
                self.clear()
                echo_bytes(block)
                self._at_start = block.endswith(b"\n")
            return file.tell()

    def show(self, text: str) -> None:
        """Put the live line there, in place of the last."""
        text = text[: shutil.get_terminal_size().columns - 1]
        if self._live and self._at_start and text != self._shown:
            show_live(text)
            self._shown = text

    def clear(self) -> None:
        """Take the live line away."""
        if self._shown:
            show_live("")
            self._shown = ""
