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
# What one rank says when another is gone, and launchers when a rank is: no cause.
_CONSEQUENCE = re.compile(
    r"ChildFailedError|DistBackendError|NCCL|gloo|Connection (?:closed|reset|refused)|Broken pipe",
    re.IGNORECASE,
)
_HINT = re.compile(r"Try ['\"`].*--help\b")  # after what is wrong with an option
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|oom[-_ ]?kill|Cannot allocate memory|std::bad_alloc|\bMemoryError\b",
    re.IGNORECASE,
)


def read_tail(path: Path, most_bytes: int = _TAIL_BYTES, since: int = 0) -> str:
    """The end of a log, of what is past its first `since` bytes; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - most_bytes, since))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def read_error_line(log: Path, since: int) -> str | None:
    """The line of a task's log that says best why this start of it failed; `since` is how long the log was before."""
    return find_error_line(read_tail(log, since=since))


def find_error_line(text: str) -> str | None:
    r"""The line that says why: the last Python error that is a cause, or memory that ran out after it; else an error.

    >>> find_error_line("step 3\nTraceback (most recent call last):\n  ...\nValueError: no such file\nbye\n")
    'ValueError: no such file'
    """
    stripped = (line.strip() for line in text.splitlines())
    lines = [line for line in stripped if line and not _HINT.match(line)][-200:]

    def last(pattern: re.Pattern[str], *, cause: bool = False) -> int:
        found = (
            i for i, x in enumerate(lines) if pattern.search(x) and not (cause and _CONSEQUENCE.search(x))
        )
        return max(found, default=-1)

    memory, error = last(_OUT_OF_MEMORY), last(_PYTHON_ERROR, cause=True)
    best = max(memory, error)
    for pattern in (_PYTHON_ERROR, _ERROR):
        best = last(pattern) if best < 0 else best
    return lines[best][:_LONGEST] if lines else None


def is_out_of_memory(words: str | None, exit_code: int | None) -> bool:
    """Whether a failure was for want of memory, of a GPU or of the host.

    >>> is_out_of_memory("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", 1)
    True
    """
    return bool(words and exit_code and _OUT_OF_MEMORY.search(words))
