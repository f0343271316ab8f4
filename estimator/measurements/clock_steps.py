"""Lengths between two times of a clock that may have been set: pure.

A process of a run times itself by a clock that no step moves.  Here is what is left: times of two machines, and records of
earlier versions, whose times have the steps of the clock in them.
"""

import re
from dataclasses import dataclass

EARLIEST_S = 1_577_836_800.0  # 2020-01-01: a clock that says less is wrong
_AGREE_S = 2.0  # two clocks that are closer agree
_JUMP = re.compile(r"the clock jumped by ([+-]\d+(?:\.\d+)?) s")


def length_s(began_s: float | None, ended_s: float | None) -> float | None:
    """Return the seconds between two Unix times; None if one is missing, or if no right clock can have shown both.

    An end before the beginning, by more than clocks differ, is no length; nor is one from a clock before 2020 to a later.

    >>> length_s(1.8e9, 1.8e9 + 60), length_s(1.8e9, 1.8e9 - 1), length_s(1.8e9, 1.8e9 - 590), length_s(60.0, 1.8e9)
    (60.0, 0.0, None, None)
    """
    if began_s is None or ended_s is None or ended_s - began_s < -_AGREE_S:
        return None
    if began_s < EARLIEST_S <= ended_s:
        return None
    return max(ended_s - began_s, 0.0)


def length_sql(began_s: str, ended_s: str) -> str:
    """Return the SQL of `length_s`, to a tenth of a second.

    >>> length_sql("a", "b")
    'CASE WHEN b - a >= -2.0 AND NOT (a < 1577836800.0 AND b >= 1577836800.0) THEN round(max(b - a, 0), 1) END'
    """
    is_known = f"{ended_s} - {began_s} >= -{_AGREE_S} AND NOT ({began_s} < {EARLIEST_S} AND {ended_s} >= {EARLIEST_S})"
    return f"CASE WHEN {is_known} THEN round(max({ended_s} - {began_s}, 0), 1) END"


@dataclass
class ClockSteps:
    """Take the steps of a clock out of the times of one writer, in the order in which it wrote them.

    A step is what an event says, or a time that is earlier than the one before: then `period_s` has passed.

    >>> steps = ClockSteps(period_s=1.0)
    >>> [steps.without(time_s) for time_s in (100.0, 101.0, 41.0, 42.0)]
    [100.0, 101.0, 102.0, 103.0]
    """

    period_s: float
    _sum_s: float = 0.0
    _last_s: float | None = None

    def without(self, time_s: float, text: str = "") -> float:
        """Return the next time of the writer without the steps so far; `text` is that of an event which may tell one."""
        if jump := _JUMP.match(text):
            self._sum_s += float(jump[1])
        elif self._last_s is not None and time_s - self._sum_s < self._last_s:
            if text:  # an event of another thread: it may come late
                return time_s - self._sum_s
            self._sum_s = time_s - self._last_s - self.period_s
        straight_s = time_s - self._sum_s
        self._last_s = straight_s if self._last_s is None else max(straight_s, self._last_s)
        return straight_s
