"""When one shape of a job would start and end, its waits in the queue included."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..ranges import Range
from .wait import WaitForecast

if TYPE_CHECKING:  # an estimate that asks no queue loads nothing of it
    from .record import Correction
    from .state import Request


@dataclass(frozen=True)
class ShapeStart:
    """When a shape would start and end, in seconds from `now_s`, which is in Unix seconds.

    `ends_s` has the waits of all `jobs` in a row, each as long as the first; None if the wait or the time of the run is
    unknown.  `refusal` is why Slurm would not take the job.  `hides_jobs` and `hidden_gpus` say what Slurm does not show.
    """

    now_s: float
    request: "Request"
    forecast: WaitForecast
    ends_s: Range | None = None
    jobs: int = 1
    refusal: str | None = None
    hides_jobs: bool = False
    hidden_gpus: int = 0

    @property
    def start_s(self) -> float | None:
        """Return the expected start in Unix seconds; None if it never starts."""
        expected_s = self.forecast.expected_s
        return None if expected_s is None or self.refusal else self.now_s + expected_s

    @property
    def end_s(self) -> float | None:
        """Return the expected end in Unix seconds; None if it is unknown."""
        return self.now_s + self.ends_s.p50 if self.ends_s and not self.refusal else None

    @property
    def is_free_now(self) -> bool:
        """Return whether it starts at once, whatever others do."""
        return not self.refusal and self.forecast.by_limits_s == 0


def correct(forecast: WaitForecast, correction: "Correction | None") -> WaitForecast:
    """Return a forecast as the record of earlier ones corrects it; that of a job that starts at once stays."""
    if correction is None or not forecast.expected_s:
        return forecast
    return replace(forecast, wait_s=correction.apply(forecast.expected_s), corrected_by=correction.runs)


def end_of(forecast: WaitForecast, wall_clock_s: Range | None, jobs: int) -> Range | None:
    """Return the range of the end, in seconds from now: the wall-clock of the run, and a wait for each of its jobs.

    >>> from clusterplan.estimator.queue.wait import Basis
    >>> end_of(WaitForecast(600.0, None, 0.0, 1, Basis.LIMITS), Range(3000, 3600, 4200), 2).p50
    4800.0
    """
    if wall_clock_s is None or forecast.by_limits_s is None:
        return None
    wait_s = forecast.wait_s or Range.exactly(forecast.by_limits_s)
    return wall_clock_s.plus(wait_s.scaled(jobs))


def first_to_end(starts: Sequence[ShapeStart]) -> int | None:
    """Return the index of the shape that is expected to end first; None if no end is known."""
    ends = {i: end_s for i, start in enumerate(starts) if (end_s := start.end_s) is not None}
    return min(ends, key=lambda i: ends[i], default=None)
