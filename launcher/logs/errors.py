"""The line of a log that says why a command failed, and how well it explains that: pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .exceptions import LoggedException, find_exceptions
from .launcher_summary import read_summary
from .lines import LogLine, read_lines

_MAX_LENGTH = 300  # characters
_MAX_LINES = 2000
_SIGKILL_CODE = 128 + 9


class ErrorKind(StrEnum):
    """What a line says of a failure."""

    DISK_FULL = "disk_full"
    OUT_OF_MEMORY = "out_of_memory"
    ERROR = "error"  # an exception, a crash, or an error message
    LAST_LINE = "last_line"  # no line is an error: the last one that was printed
    CONSEQUENCE = "consequence"  # another process is gone, or told this one to stop

    @classmethod
    def of(cls, word: str | None) -> "ErrorKind | None":
        """Return the kind of this name; None for one that a newer version has coined."""
        return cls(word) if word in set(cls) else None


@dataclass(frozen=True)
class LogError:
    """A line that says why a command failed.

    `rank` and `exit_code` are those of the process in it that failed first, where its launcher says that.
    """

    line: str | None
    kind: ErrorKind | None
    rank: int | None = None
    exit_code: int | None = None


_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|\bENOSPC\b|\bEDQUOT\b", re.IGNORECASE)
_OUT_OF_MEMORY = re.compile(
    r"out[- ]of[- ]memory|OutOfMemoryError|oom[-_ ]?kill|Cannot allocate memory|std::bad_alloc|\bMemoryError\b"
    r"|_ALLOC_FAILED\b|RESOURCE_EXHAUSTED",
    re.IGNORECASE,
)
_MEMORY_EVENT = re.compile(r"oom[-_ ]?kill|cgroup out-of-memory handler", re.IGNORECASE)
# Not causes: a rank prints the first when another is gone, a launcher the second when a rank is.
_PEER_IS_GONE = re.compile(
    r"DistBackendError|DistNetworkError|DistStoreError|Rendezvous\w*Error|SignalException|NCCL|gloo|TCPStore"
    r"|Connection (?:closed|reset|refused|aborted)|closed by (?:the )?(?:peer|remote)|Broken pipe|remote process exited"
    r"|(?:recv|send)Value failed|Watchdog caught collective|SIGTERM|signal 15\b|Terminated$|CANCELLED AT"
    r"|Force Terminated|Job step aborted",
    re.IGNORECASE,
)
_LAUNCHER = re.compile(
    r"ChildFailedError|CalledProcessError|ProcessRaisedException|closing signal|Killing subprocess|of binary:"
    r"|exits? with return code|non-zero exit (?:status|code)|^mpirun (?:noticed|detected)|^srun: error: .*: tasks? ",
    re.IGNORECASE,
)
_MESSAGE = re.compile(
    r"(?i:^(?:[\w./()-]+: )*(?:\w+ ){0,2}(?:error|fatal(?: error)?|panic)\s*:)"
    r"|(?:^|[\s\[|:])(?:ERROR|FATAL|CRITICAL)(?:[\]\s|:]|$)|^[EF]\d{4} "
    r"|Fatal Python error|Check failed|Assertion .* failed|double free|free\(\): invalid|stack smashing|malloc\(\)"
    r"|symbol lookup error|CUDA error|Bus error|Illegal instruction|Floating point exception"
    r"|(?i:command not found|: not found$|No such file or directory|Permission denied|can't open file|No module named)"
    r"|(?i:cannot (?:open|execute|access|find)|unrecognized option|invalid option|is killed by signal)"
)
_CRASH = re.compile(r"Segmentation fault|\bAborted\b|\bKilled\b")  # no more than the exit code says
_METRIC = re.compile(
    r"(?i)\berrors?\b[\"']?\s*[:=]?\s*[-+]?(?:\d*\.\d|\d+(?:e[-+]\d|%)?\s*(?:$|[,;|)\]}]|\s\w+\s*[:=]))"
)
_HINT = re.compile(r"Try ['\"`].*--help\b")  # follows the line that names the wrong option


def find_log_error(text: str, exit_code: int | None = 1) -> LogError:
    r"""Return the line of an attempt's log that says best why its command failed with `exit_code`.

    A full disk always counts, and memory that ran out.  Otherwise it is the last exception that is no consequence, then
    an error message.  A killed process could not say why: its last line means nothing.  Secrets in the line are hidden,
    because it is kept, and shown.

    >>> find_log_error("step 3\nTraceback (most recent call last):\n  ...\nValueError: no such file\nbye\n").line
    'ValueError: no such file'
    >>> find_log_error("rank 3 start", 139).line is None
    True
    """
    from ..secrets.text import redact_text  # noqa: PLC0415  its patterns, where a command has failed

    lines = [line for line in read_lines(text) if not _HINT.match(line.words)][-_MAX_LINES:]
    summary = read_summary(text)
    code = summary.exit_code or exit_code
    exceptions = list(find_exceptions(lines))
    chosen = (
        _find_full_disk(lines, exceptions)
        or _find_memory(lines, exceptions)
        or (_find_error(lines, exceptions, summary.rank) if code != _SIGKILL_CODE else None)
        or _find_consequence(lines, exceptions, has_summary=summary.rank is not None)
        or (_last_line(lines, code) if summary.rank is None else None)
    )
    if chosen is None:
        return LogError(None, None, summary.rank, summary.exit_code)
    words, rank, kind = chosen
    rank = summary.rank if rank is None or kind is ErrorKind.LAST_LINE else rank
    return LogError(
        redact_text(words.strip()[:_MAX_LENGTH]),
        kind,
        rank,
        summary.exit_code if rank == summary.rank else None,
    )


_Choice = tuple[str, int | None, ErrorKind] | None


def _find_full_disk(lines: Sequence[LogLine], exceptions: Sequence[LoggedException]) -> _Choice:
    for words, rank in _exceptions_then_lines(exceptions, lines):
        if _DISK_FULL.search(words):
            return words, rank, ErrorKind.DISK_FULL
    return None


def _find_memory(lines: Sequence[LogLine], exceptions: Sequence[LoggedException]) -> _Choice:
    """Return an exception, or a kill, for lack of memory; a mere message of it if no later exception is a cause."""
    for event in lines:
        if _MEMORY_EVENT.search(event.words):
            return event.words, event.rank, ErrorKind.OUT_OF_MEMORY
    for exception in exceptions:
        if _OUT_OF_MEMORY.search(exception.words):
            return exception.words, exception.rank, ErrorKind.OUT_OF_MEMORY
    cause = max((e.index for e in exceptions if not _is_consequence(e.words)), default=-1)
    for line in lines[cause + 1 :]:
        if _OUT_OF_MEMORY.search(line.words):
            return line.words, line.rank, ErrorKind.OUT_OF_MEMORY
    return None


def _find_error(
    lines: Sequence[LogLine], exceptions: Sequence[LoggedException], first_rank: int | None
) -> _Choice:
    """Return the exception that ended the rank that failed first, by its launcher or by the log; else a message."""
    causes = [e for e in exceptions if not _is_consequence(e.words)]
    causes = [e for e in causes if not e.in_thread] or causes
    last_of_rank = {e.rank: e for e in causes}
    if causes:
        first = last_of_rank.get(first_rank) if first_rank is not None else None
        labelled = [e for e in last_of_rank.values() if e.rank is not None]
        chosen = first or min(labelled, key=lambda e: e.index, default=None) or causes[-1]
        return chosen.words, chosen.rank, ErrorKind.ERROR
    for pattern in (_MESSAGE, _CRASH):
        for line in reversed(lines):
            words = line.words
            if pattern.search(words) and not _is_consequence(words) and not _METRIC.search(words):
                return words, line.rank, ErrorKind.ERROR
    return None


def _find_consequence(
    lines: Sequence[LogLine], exceptions: Sequence[LoggedException], *, has_summary: bool
) -> _Choice:
    """Return what a process says of another one; a launcher's words only if it has no summary, which says more."""
    for pattern in (_PEER_IS_GONE,) if has_summary else (_PEER_IS_GONE, _LAUNCHER):
        for words, rank in _exceptions_then_lines(exceptions, lines):
            if pattern.search(words):
                return words, rank, ErrorKind.CONSEQUENCE
    return None


def _is_consequence(words: str) -> bool:
    return bool(_PEER_IS_GONE.search(words) or _LAUNCHER.search(words))


def _last_line(lines: Sequence[LogLine], exit_code: int | None) -> _Choice:
    by_signal = exit_code is not None and exit_code >= 128  # noqa: PLR2004  128 + n is signal n
    return (lines[-1].words, lines[-1].rank, ErrorKind.LAST_LINE) if lines and not by_signal else None


def _exceptions_then_lines(
    exceptions: Sequence[LoggedException], lines: Sequence[LogLine]
) -> Iterator[tuple[str, int | None]]:
    yield from ((exception.words, exception.rank) for exception in exceptions)
    yield from ((line.words, line.rank) for line in lines)


def is_out_of_memory(words: str | None, exit_code: int | None) -> bool:
    """Return whether a command failed because the memory of a GPU or of the host ran out.

    >>> is_out_of_memory("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", 1)
    True
    """
    return bool(words and exit_code and _OUT_OF_MEMORY.search(words))
