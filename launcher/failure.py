"""Why a command failed, in its own last words."""

import os
import re
from pathlib import Path

_TAIL_BYTES = 64 * 1024
_LONGEST = 300  # characters
_ERROR = re.compile(
    r"^(\[[^\]]*\]:?\s*)?([A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Failure)\b.*|.*\b(error|fatal|killed|oom)\b.*)$",
    re.IGNORECASE,
)
_PYTHON_ERROR = re.compile(r"^(?:\[[^\]]*\]:?\s*)?([A-Za-z_][\w.]*(?:Error|Exception|Interrupt)\b.*)$")
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|oom[-_ ]?kill|Cannot allocate memory|std::bad_alloc|\bMemoryError\b",
    re.IGNORECASE,
)


def tail(path: Path, most_bytes: int = _TAIL_BYTES) -> str:
    """The end of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - most_bytes, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def last_words(logs: Path, rank: int) -> str | None:
    """The line of a task's log that says best why it failed: a Python error, else an error, else the last one."""
    return best_line(tail(logs / f"{rank}.log"))


def best_line(text: str) -> str | None:
    r"""The same, of a text.

    >>> best_line("step 3\nTraceback (most recent call last):\n  ...\nValueError: no such file\nbye\n")
    'ValueError: no such file'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (_OUT_OF_MEMORY, _PYTHON_ERROR, _ERROR):
        for line in reversed(lines[-200:]):
            if pattern.search(line):
                return line[:_LONGEST]
    return lines[-1][:_LONGEST] if lines else None


def is_out_of_memory(words: str | None, exit_code: int | None) -> bool:
    """Whether a failure was for want of memory, of a GPU or of the host.

    >>> is_out_of_memory("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", 1)
    True
    """
    return bool(words and exit_code and _OUT_OF_MEMORY.search(words))
