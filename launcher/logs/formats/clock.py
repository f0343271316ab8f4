"""The clock by which the lines of a log are apart: pure."""

from enum import Enum
from typing import NamedTuple

from .record import LogRecord


class Clock(Enum):
    """Clocks, the best first.  An interval by one that counts whole seconds must be longer to be worth anything."""

    FINE = "of the line, with fractions of a second"
    ARRIVAL = "when the line arrived"
    WHOLE = "of the line, in whole seconds"
    ELAPSED = "elapsed since the start, in whole seconds"
    NONE = "no clock"

    @property
    def shortest_s(self) -> float:
        """Return the shortest interval that this clock measures to within about a tenth."""
        return 10.0 if self in (Clock.WHOLE, Clock.ELAPSED) else 0.0

    def is_same(self, other: "Clock") -> bool:
        """Return whether there is a time between two lines by these clocks; a whole second may have no fraction."""
        own = (Clock.FINE, Clock.WHOLE)
        return self is other or (self in own and other in own)


class Moment(NamedTuple):
    """A time by one of the clocks, and the Unix time as well as it is known."""

    s: float
    wall_s: float
    clock: Clock


class ClockChoice:
    """Choose the clock of each line; lines of different clocks have no time between them."""

    def __init__(self) -> None:
        self._has_fractions = False

    def moment(self, record: LogRecord) -> Moment:
        """Return when the line was written."""
        wall_s = record.arrival_s
        if wall_s is None:
            wall_s = next((s for s in (record.time_s, record.elapsed_s) if s is not None), 0.0)
        if record.time_s is not None:
            self._has_fractions |= record.time_s % 1 > 0
            if self._has_fractions:
                return Moment(record.time_s, wall_s, Clock.FINE)
        if record.monotonic_s is not None:
            return Moment(record.monotonic_s, wall_s, Clock.ARRIVAL)
        if record.time_s is not None:
            return Moment(record.time_s, wall_s, Clock.WHOLE)
        if record.elapsed_s is not None:
            return Moment(record.elapsed_s, wall_s, Clock.ELAPSED)
        return Moment(0.0, wall_s, Clock.NONE)
