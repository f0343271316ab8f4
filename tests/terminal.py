"""A terminal of some columns in which a program runs, as a person sees it."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT_S = 120


class Terminal:
    """The program in a terminal, and all that it printed so far."""

    def __init__(
        self, command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str], columns: int
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.settings = self.settings_now()
        self.seen = b""
        ignored = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={name: value for name, value in environment.items() if name not in ignored}
            | {"TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def settings_now(self) -> list[Any]:
        """Return how the terminal takes keys: canonical mode, echo and the like."""
        return termios.tcgetattr(self._ours)

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def read_until(self, is_enough: Callable[[bytes], bool]) -> bytes:
        """Return all that was printed once that is enough; what the program printed before its end is part of it."""
        deadline = time.monotonic() + WAIT_S
        while not is_enough(self.seen):
            assert time.monotonic() < deadline, self.seen.decode(errors="replace")
            if not self._read(0.2) and self.process.poll() is not None:
                break
        return self.seen

    def read_to_end(self) -> int:
        """Return the exit code, once all is read."""
        self.read_until(lambda _: self.process.poll() is not None)
        while self._read(0.2):
            pass
        return self.process.wait(WAIT_S)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._ours], [], [], timeout_s)[0]:
            return False
        try:
            block = os.read(self._ours, 4096)
        except OSError:  # the program has closed the other side
            return False
        self.seen += block
        return bool(block)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


@contextmanager
def terminal(
    command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str], columns: int = 80
) -> Iterator[Terminal]:
    """Run a command in a terminal, which ends with the block."""
    opened = Terminal(command, cwd, environment, columns)
    try:
        yield opened
    finally:
        opened.close()
