"""Which of several failures came first: pure.

When one rank fails, the others fail too, within milliseconds: the first to end need not be the cause.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import ErrorKind

_SIGKILL_CODE, _SIGTERM_CODE = 128 + 9, 128 + 15
_FIRST_SIGNAL_CODE = 128
_URGENCY = {ErrorKind.DISK_FULL: 0, ErrorKind.OUT_OF_MEMORY: 1, ErrorKind.ERROR: 2, ErrorKind.LAST_LINE: 3}
_SILENT, _CONSEQUENCE = 3, 4


@dataclass(frozen=True)
class Failure:
    """One process that failed: its rank if it is known, the number of its log, its node, its exit code, and what it printed last.

    `time_s` is when its log was written last, by the clock of the disk that all nodes share, in Unix seconds.
    """

    rank: int | None
    log: int
    node: str
    exit_code: int
    error: str | None
    kind: ErrorKind | None
    time_s: float

    @property
    def is_cause(self) -> bool:
        """Return whether the process failed by itself, and not because another one was gone."""
        return _urgency(self) < _CONSEQUENCE


def find_cause(failures: Iterable[Failure]) -> Failure | None:
    """Return the failure that led to the others; None without failures.

    A full disk counts first, then memory that ran out, then the earliest error or crash, then an end without a word.
    """
    return min(failures, key=lambda failure: (_urgency(failure), failure.time_s), default=None)


def _urgency(failure: Failure) -> int:
    if failure.kind is ErrorKind.CONSEQUENCE or (failure.kind is None and failure.exit_code == _SIGTERM_CODE):
        return _CONSEQUENCE
    if failure.kind is not None:
        return _URGENCY[failure.kind]
    if failure.exit_code == _SIGKILL_CODE:
        return _URGENCY[ErrorKind.OUT_OF_MEMORY]  # often the kernel, for lack of memory
    return _URGENCY[ErrorKind.ERROR] if failure.exit_code > _FIRST_SIGNAL_CODE else _SILENT
