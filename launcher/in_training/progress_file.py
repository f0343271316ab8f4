"""The file in the run folder that `track` appends to, its lines, and numbers as they hold them."""

import math
import os
from collections import deque
from contextlib import suppress
from typing import SupportsFloat

from ...cluster_profiles.modes import open_file

PROGRESS_FILE = "progress.jsonl"
RETRY_S = 60.0  # between two attempts to write on a disk that is full
_MOST_LINES = 1000  # that wait to be written; then the oldest is given up
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")


def open_progress_file() -> int | None:
    """Return the file to append to; None outside a job, on other ranks, and if the file cannot be opened."""
    folder, environment = os.environ.get("CLUSTERPLAN_RUN_FOLDER"), os.environ
    rank = next((environment[name] for name in _RANKS if name in environment), "0")
    # Processes that Lightning starts share the rank of their task, and differ in the local rank.
    if not folder or rank != "0" or environment.get("LOCAL_RANK", "0") != "0":
        return None
    try:
        return open_file(f"{folder}/{PROGRESS_FILE}", os.O_APPEND)
    except OSError:
        return None


class LineWriter:
    """Append lines to an open file, whatever its disk does: those that cannot be written wait, and come in order later.

    After a failure it tries again every `RETRY_S`.  `file` is None until it can be opened.
    """

    def __init__(self, file: int | None = None) -> None:
        self.file = file
        self._lines = deque[bytes](maxlen=_MOST_LINES)
        self._retry_s = -math.inf

    def write(self, line: bytes, now_s: float) -> None:
        """Write a line, and those that wait before it; `now_s` is of a clock that no step moves."""
        self._lines.append(line)
        if now_s >= self._retry_s:
            self._retry_s = -math.inf if self.write_all() else now_s + RETRY_S

    def write_all(self) -> bool:
        """Write the lines that wait; return whether none waits any more."""
        with suppress(OSError):
            while self._lines and self.file is not None:
                line = self._lines[0]
                if os.write(self.file, line) < len(line):
                    self._lines[0] = (
                        b"\n" + line.lstrip()
                    )  # what is written of it is a line that readers skip
                    return False
                self._lines.popleft()
        return not self._lines


def read_number(value: SupportsFloat | None) -> float | str | None:
    """Return a number as JSON can hold it: `nan` and `inf` are not JSON numbers, so they become strings."""
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError, RuntimeError):  # not a number, or a tensor of several
        return None
    return number if number is None or math.isfinite(number) else str(number)
