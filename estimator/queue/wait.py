"""The wait that is forecast for a request, and what the forecast rests on."""

from dataclasses import dataclass
from enum import StrEnum

from ..ranges import Range


class Basis(StrEnum):
    """What the end of each running job is taken from."""

    USAGE = "usage"  # shares of their limits that ended jobs used
    LIMITS = "limits"


@dataclass(frozen=True)
class WaitForecast:
    """When a request would start, in seconds from now.

    `by_limits_s` is the wait if every job before it runs to its limit; None if it never starts so.  `wait_s` is the range
    if jobs end as jobs of late did; None by limits alone.  `hole_s` is for how long its GPUs are free now: 0 if
    they are not, infinite if nothing ends it.  `before` counts the jobs before it in line, and
    `corrected_by` the earlier forecasts that `wait_s` is corrected by.  `unplanned` are those of the jobs before it that
    a long line leaves out.
    """

    by_limits_s: float | None
    wait_s: Range | None
    hole_s: float
    before: int
    basis: Basis
    corrected_by: int = 0
    unplanned: int = 0

    @property
    def expected_s(self) -> float | None:
        """Return the wait to reckon with: the median, otherwise that by limits."""
        return self.wait_s.p50 if self.wait_s else self.by_limits_s
