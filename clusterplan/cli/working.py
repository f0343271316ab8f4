"""A line on the terminal that says what takes long: each command has one, from its first silent second on.

It stands on stderr, if that is a terminal, below what was printed, and goes away before anything else is printed.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

_SILENT_S = 1.0  # that nobody needs to be told of
_LOOK_S = 0.25
_COLUMNS = 80  # of a terminal that does not tell
_CLEARED = "\r\x1b[K"  # the line, and the cursor at its beginning


class _Line(threading.Thread):
    """Shows what a command does, and for how long, while it prints nothing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.lock = threading.RLock()
        self.doing = ""
        self._since_s = time.monotonic()
        self._shown = ""
        self._ended = threading.Event()

    def run(self) -> None:
        with suppress(OSError, ValueError):  # the terminal is gone
            while not self._ended.wait(_LOOK_S):
                with self.lock:
                    self._show()

    def _show(self) -> None:
        silent_s = time.monotonic() - self._since_s
        if silent_s < _SILENT_S or self._ended.is_set() or _is_in_background():
            return
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
        text = f"{self.doing or 'working'}, {silent_s:.0f} s"[: columns - 1]
        if text != self._shown:
            self._write(_CLEARED + text)
            self._shown = text

    def clear(self) -> None:
        """Take the line away; it comes back after a further silent second."""
        with self.lock:
            if self._shown:
                self._write(_CLEARED)
            self._shown = ""
            self._since_s = time.monotonic()

    def end(self) -> None:
        """Take the line away for good."""
        self._ended.set()
        with suppress(OSError, ValueError):
            self.clear()

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _is_in_background() -> bool:
    """Return whether the terminal is that of another command now, such as a shell's next one."""
    with suppress(OSError):  # no terminal of ours: nobody else has it
        return os.tcgetpgrp(sys.stderr.fileno()) != os.getpgrp()
    return False


_line: _Line | None = None


@contextmanager
def show_work() -> Iterator[None]:
    """Show on a terminal what a command does while the block runs and prints nothing."""
    global _line  # noqa: PLW0603  a process has one terminal
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":  # it clears no line
        yield
        return
    _line = _Line()
    _line.start()
    try:
        yield
    finally:
        leave_terminal()


def leave_terminal() -> None:
    """Show no such line any more: from here on the command, or one that it starts, draws on the terminal itself."""
    global _line  # noqa: PLW0603  likewise
    if _line:
        _line.end()
        _line = None


def describer() -> Callable[[str], None] | None:
    """Return what says, in a few words, what the command does now; None if nobody looks."""
    line = _line
    if line is None:
        return None

    def describe(doing: str) -> None:
        line.doing = doing

    return describe


def printing() -> AbstractContextManager[object]:
    """Return a block that prints; the line is away until the block ends: a pipe too may end on the terminal."""
    if _line is None:
        return nullcontext()
    _line.clear()
    return _line.lock
