"""How a process ended, in plain words, from its exit code: pure.

A shell has 128 + n for signal n (signal(7)).  124 is that of timeout(1), 126 and 127 those of a shell that could not
start the command.
"""

import signal

from ...logs.errors import ErrorKind
from ...logs.failure import Failure

SIGKILL_CODE = 128 + 9
_FIRST_SIGNAL_CODE, _LAST_SIGNAL_CODE = 129, 128 + 64
_SIGNALS: dict[int, tuple[str, str]] = {  # the words, and what it often means
    signal.SIGKILL: ("killed", "often the node's memory ran out"),
    signal.SIGSEGV: ("segmentation fault", ""),
    signal.SIGABRT: ("aborted", ""),
    signal.SIGBUS: ("bus error", "often /dev/shm is full"),
    signal.SIGILL: ("illegal instruction", "often a library is built for another CPU"),
    signal.SIGFPE: ("arithmetic error", ""),
    signal.SIGTERM: ("terminated", ""),
    signal.SIGINT: ("interrupted", ""),
    signal.SIGHUP: ("hung up", "its terminal or its parent ended"),
    signal.SIGXCPU: ("out of CPU time", "`ulimit -t` limits it"),
    signal.SIGXFSZ: ("file too large", "`ulimit -f` limits it"),
}
_CODES = {
    124: "`timeout` ended the command",
    126: "the command cannot be executed",
    127: "the command was not found",
}


def explain_exit(code: int, error: str | None = None) -> str:
    """Return how a process ended, with the error that it printed; without one, what the code often means.

    >>> explain_exit(139), explain_exit(1, "ValueError: no"), explain_exit(127)
    ('segmentation fault (SIGSEGV, exit code 139)', 'exit code 1: ValueError: no', 'exit code 127: the command was not found')
    >>> explain_exit(137)
    "killed (SIGKILL, exit code 137): often the node's memory ran out"
    """
    words, meaning = f"exit code {code}", _CODES.get(code, "")
    if _FIRST_SIGNAL_CODE <= code <= _LAST_SIGNAL_CODE:
        number = code - 128
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        ended, meaning = _SIGNALS.get(number, ("ended", ""))
        words = f"{ended} ({name}, exit code {code})"
    return f"{words}: {error or meaning}" if error or meaning else words


def explain_failure(failure: Failure, *, names_node: bool) -> str:
    """Return which process failed first, how it ended, and why.

    >>> failure = Failure(2, 2, "gpu1", 1, "ValueError: no", ErrorKind.ERROR, 0.0)
    >>> explain_failure(failure, names_node=True)
    'rank 2 on gpu1, exit code 1: ValueError: no'
    """
    rank = None if failure.rank is None else f"rank {failure.rank}"
    place = " ".join(part for part in (rank, f"on {failure.node}" if names_node else None) if part)
    if failure.kind is ErrorKind.LAST_LINE:
        how = f"{explain_exit(failure.exit_code)}; last line: {failure.error}"
    else:
        how = explain_exit(failure.exit_code, failure.error)
    return f"{place}, {how}" if place else how
