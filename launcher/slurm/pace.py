"""Questions to Slurm in rounds, for a program that looks again and again: sites ask that nobody polls Slurm fast."""

import time
from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any, TypeVar

from ...errors import SlurmRefused, SlurmUnavailable

T = TypeVar("T")

PERIOD_S = 30.0


class Pace:
    """Let questions out in rounds, and keep their answers until the next round.

    A round begins at the first look that comes `period_s` or more after the last question.  Between rounds a question
    is answered by its last answer alone, so that two rounds are never closer than `period_s`.

    Examples:
        >>> now_s = 0.0
        >>> pace = Pace(30.0, clock=lambda: now_s)
        >>> pace.look()
        >>> pace.answer("jobs", lambda: "queue at 0 s")
        'queue at 0 s'
        >>> now_s = 29.0
        >>> pace.look()
        >>> pace.answer("jobs", lambda: "queue at 29 s")
        'queue at 0 s'
        >>> pace.answer("nodes", lambda: "nodes at 29 s")
        Traceback (most recent call last):
        clusterplan.errors.SlurmUnavailable: Slurm was asked 29 s ago: it is asked again 30 s after that
    """

    def __init__(self, period_s: float = PERIOD_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s = period_s
        self._clock = clock
        self._asked_s: float | None = None  # when the last question ended
        self._is_round = True
        self._kept: dict[Hashable, Callable[[], Any]] = {}
        self._lock = RLock()  # nobody asks a second time while a question waits for its answer

    def look(self) -> None:
        """Begin a look; a round begins with it if the last question is long enough ago."""
        with self._lock:
            self._is_round = self._asked_s is None or self._clock() - self._asked_s >= self._period_s
            if self._is_round:
                self._kept.clear()

    def answer(self, name: Hashable, ask: Callable[[], T]) -> T:
        """Return what `ask`, a question to Slurm, returned or raised in this round; it is called once per round.

        Raises SlurmUnavailable between rounds if it was not called in the last one.
        """
        with self._lock:
            if name in self._kept or self._is_round:
                try:
                    return self.result(name, ask)
                finally:
                    if self._is_round:
                        self._asked_s = self._clock()
            age_s = self._clock() - (self._asked_s or 0.0)
            raise SlurmUnavailable(
                f"Slurm was asked {age_s:.0f} s ago: it is asked again {self._period_s:.0f} s after that"
            )

    def result(self, name: Hashable, calculate: Callable[[], T]) -> T:
        """Return what `calculate` made of the answers of this round; it is called once per round, at any time."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = _outcome(calculate)
            value: T = self._kept[name]()
            return value


def _outcome(call: Callable[[], T]) -> Callable[[], T]:
    """Return a function that returns, or raises, what the call does now."""
    try:
        value = call()
    except (SlurmUnavailable, SlurmRefused) as error:
        failure = error  # the name `error` ends with this block

        def fail() -> T:
            raise failure

        return fail
    return lambda: value
