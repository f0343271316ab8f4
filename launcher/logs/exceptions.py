"""The exceptions in a log, of Python and of C++: pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .lines import LogLine

_HEADER = re.compile(r"Traceback \(most recent call last\)")
# What follows them ends no process.
_UNCOUNTED = re.compile(
    r"^(?:Exception ignored (?:in|while)|Error in (?:atexit|sys\.excepthook)|--- Logging error)"
)
_IN_THREAD = re.compile(r"^Exception in thread")
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:\([\w.]+\))?(?::(?: |$)|$)")
_NAMED_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)\b(?:\([\w.]+\))?(?::(?: |$)|$)")
_GROUP = re.compile(r"(?:Base)?ExceptionGroup: ")
_TERMINATE = re.compile(r"terminate called after throwing an instance of '(.+)'")
_WHAT = re.compile(r"\s+what\(\):\s*(.+)")


@dataclass(frozen=True)
class LoggedException:
    """An exception in a log; one in a thread need not have ended its process."""

    index: int
    words: str
    rank: int | None
    in_thread: bool = False


def find_exceptions(lines: Sequence[LogLine]) -> Iterator[LoggedException]:
    """Yield the last line of every traceback, and lines that look like one without a traceback.

    Of an ExceptionGroup it is the first exception in it.  An exception that Python ignores is left out.

    >>> from .lines import read_lines
    >>> log = "Traceback (most recent call last):\\n  File x\\nmy.Trouble: no\\nTypeError: no\\n"
    >>> [exception.words for exception in find_exceptions(list(read_lines(log)))]
    ['my.Trouble: no', 'TypeError: no']
    """
    open_headers: dict[int | None, str] = {}  # by rank: what its traceback is of
    kind, thrown, group_has_part = "", "", False
    for index, line in enumerate(lines):
        if _HEADER.search(line.words):
            open_headers[line.rank], kind = kind, ""
        elif before := _kind_of_next(line.words):
            kind = before
        elif terminate := _TERMINATE.search(line.words):
            thrown = f"{terminate[1]}: "
        elif what := _WHAT.match(line.words):
            yield LoggedException(index, f"{thrown}{what[1]}", line.rank)
        elif _is_exception(line, in_traceback=line.rank in open_headers):
            of = open_headers.pop(line.rank, "")
            if _GROUP.match(line.words):
                group_has_part = False
            elif of != "ignored" and not (line.in_group and group_has_part):
                group_has_part = line.in_group
                yield LoggedException(index, line.words, line.rank, in_thread=of == "thread")


def _kind_of_next(words: str) -> str:
    """Return what the traceback after this line is of."""
    return "ignored" if _UNCOUNTED.match(words) else "thread" if _IN_THREAD.match(words) else ""


def _is_exception(line: LogLine, *, in_traceback: bool) -> bool:
    pattern = _EXCEPTION if in_traceback else _NAMED_EXCEPTION
    return not line.is_frame and bool(pattern.match(line.words))
