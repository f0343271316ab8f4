"""Which of Slurm's daemons did not answer of late: within one command none is asked again for half a minute."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import SlurmUnavailable

REMEMBERED_S = 30.0
CONTROLLER, ACCOUNTING = "slurmctld", "slurmdbd"
_OF_ACCOUNTING = ("sacct", "sacctmgr")

_silences: dict[str, tuple[float, str]] | None = None  # by daemon: when it was silent, and what is said of it


@contextmanager
def remembered_silences() -> Iterator[None]:
    """Remember, while the block runs, which daemons did not answer."""
    global _silences  # noqa: PLW0603  one command runs at a time in a process
    before = _silences
    _silences = {} if before is None else before
    try:
        yield
    finally:
        _silences = before


def daemon_of(program: str) -> str:
    """Return the daemon that one of Slurm's commands asks.

    >>> daemon_of("squeue"), daemon_of("sacct")
    ('slurmctld', 'slurmdbd')
    """
    return ACCOUNTING if program in _OF_ACCOUNTING else CONTROLLER


def silence(program: str, words: str) -> SlurmUnavailable:
    """Return the error that `words` say of the daemon behind a program, and remember it."""
    if _silences is not None:
        _silences[daemon_of(program)] = (time.monotonic(), words)
    return SlurmUnavailable(words)


def check_not_silent(program: str) -> None:
    """Raise SlurmUnavailable, in the words of that time, if the daemon behind a program was silent of late."""
    since_s, words = (_silences or {}).get(daemon_of(program), (0.0, ""))
    if words and time.monotonic() - since_s < REMEMBERED_S:
        raise SlurmUnavailable(words)
