"""The line of a log that says why a command failed."""

import os
import re
from pathlib import Path

_TAIL_BYTES = 64 * 1024
_MAX_LENGTH = 300  # characters
_ERROR = re.compile(
    r"^(\[[^\]]*\]:?\s*)?([A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Failure)\b.*|.*\b(error|fatal|killed|oom)\b.*)$",
    re.IGNORECASE,
)
_PYTHON_ERROR = re.compile(r"^(?:\[[^\]]*\]:?\s*)?([A-Za-z_][\w.]*(?:Error|Exception|Interrupt)\b.*)$")
# Not a cause: a rank prints these when another is gone, and a launcher when a rank is.
_CONSEQUENCE = re.compile(
    r"ChildFailedError|DistBackendError|NCCL|gloo|Connection (?:closed|reset|refused)|Broken pipe",
    re.IGNORECASE,
)
_HINT = re.compile(r"Try ['\"`].*--help\b")  # follows the line that names the wrong option
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|oom[-_ ]?kill|Cannot allocate memory|std::bad_alloc|\bMemoryError\b",
    re.IGNORECASE,
)


def read_tail(path: Path, most_bytes: int = _TAIL_BYTES, since: int = 0) -> str:
    """Return at most the last `most_bytes` of a log, without its first `since` bytes; empty without a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - most_bytes, since))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def read_error_line(log: Path, since: int) -> str | None:
    """Return the line of a task's log that says best why an attempt failed; its lines begin at byte `since`."""
    return find_error_line(read_tail(log, since=since))


def find_error_line(text: str) -> str | None:
    r"""Return the line that says why: the last Python error that is a cause, or a later out-of-memory; else any error.

    >>> find_error_line("step 3\nTraceback (most recent call last):\n  ...\nValueError: no such file\nbye\n")
    'ValueError: no such file'
    """
    stripped = (line.strip() for line in text.splitlines())
    lines = [line for line in stripped if line and not _HINT.match(line)][-200:]

    def last(pattern: re.Pattern[str], *, cause: bool = False) -> int:
        matches = (
            i for i, x in enumerate(lines) if pattern.search(x) and not (cause and _CONSEQUENCE.search(x))
        )
        return max(matches, default=-1)

    memory, error = last(_OUT_OF_MEMORY), last(_PYTHON_ERROR, cause=True)
    best = max(memory, error)
    for pattern in (_PYTHON_ERROR, _ERROR):
        best = last(pattern) if best < 0 else best
    return lines[best][:_MAX_LENGTH] if lines else None


def is_out_of_memory(words: str | None, exit_code: int | None) -> bool:
    """Return whether a command failed because the memory of a GPU or of the host ran out.

    >>> is_out_of_memory("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", 1)
    True
    """
    return bool(words and exit_code and _OUT_OF_MEMORY.search(words))
