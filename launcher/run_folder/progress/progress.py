"""How far a run is, how fast it goes and when it ends, from the lines of its loop: pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from ....estimator.eta.jobs import JobLimits
from ....estimator.eta.stall import Stall, find_stall
from ....estimator.eta.time_left import Expectation, Start, TimeLeft, estimate_time_left
from ....estimator.measurements.steady_state import without_unmarked_pauses
from ....estimator.measurements.training_loop import LoopLine, LoopStart, LoopSteps, steady_lines

_ESTIMATE_SHARE = 0.9  # of the steps that were estimated, a loop that was not stopped may count fewer
# The present rate is taken from so much training, and from so many lines, which tell a pause from slow steps.
RATE_WINDOW_S, _RATE_LINES = 300.0, 9


@dataclass(frozen=True)
class Progress:
    """Steps done, the rate of the steady ones of late, the loss, and the time left; None is not known.

    `source` is what tells the steps.  `stall` says since when nothing has come, where that is too long.
    """

    steps_done: int
    total: int | None = None
    rate_steps_per_s: float | None = None
    loss: float | None = None
    least_steps: int | None = None  # of a whole run: those that the script states, or 90 % of an estimate
    source: str | None = None
    time_left: TimeLeft | None = None
    stall: Stall | None = None

    @property
    def stopped_early(self) -> bool:
        """Return whether a loop that has ended stopped before its last step."""
        return self.least_steps is not None and self.steps_done < self.least_steps

    @property
    def eta_s(self) -> float | None:
        """Return the seconds until the end, at P50."""
        return self.time_left.seconds.p50 if self.time_left else None


@dataclass(frozen=True)
class Circumstances:
    """What is known of a run beside its loop: the time (Unix), the start that goes on, the estimate and the time limits."""

    now_s: float
    start: Start | None = None
    expectation: Expectation | None = None
    limits: JobLimits | None = None


def estimate_progress(
    lines: Sequence[LoopLine], total: int | None = None, circumstances: Circumstances | None = None
) -> Progress | None:
    """Return how far the loop is after `lines`; None where there is nothing to tell.

    `total` counts if the script states none.  The circumstances are those of a run that goes on: without them there is
    no time left.

    >>> lines = [LoopStart(0, 0, total=100), LoopSteps(9, 1, 1, 9, 9), LoopSteps(19, 21, 20, 10, 0.5)]
    >>> now = estimate_progress(lines, circumstances=Circumstances(now_s=19))
    >>> now.steps_done, now.rate_steps_per_s, round(now.eta_s, 1)
    (21, 2.0, 39.5)
    """
    start = next((line for line in reversed(lines) if isinstance(line, LoopStart)), None)
    stated = next((s.total for s in reversed(lines) if isinstance(s, LoopStart) and s.total), None)
    least_steps = int(total * _ESTIMATE_SHARE) if stated is None and total else stated
    total = total if stated is None else stated
    losses = (line.loss for line in reversed(lines) if isinstance(line, LoopSteps) and line.loss is not None)
    time_left = stall = None
    if circumstances:
        stall = find_stall(lines, circumstances.now_s, circumstances.start)
    if circumstances and total is not None:
        time_left = estimate_time_left(
            lines,
            total,
            circumstances.now_s,
            start=circumstances.start,
            expectation=circumstances.expectation,
            limits=circumstances.limits,
        )
    if not lines and time_left is None:
        return None
    return Progress(
        steps_done=lines[-1].step if lines else 0,
        total=total,
        rate_steps_per_s=_recent_rate(steady_lines(lines)),
        loss=next(losses, None),
        least_steps=least_steps,
        source=start.source if start else None,
        time_left=time_left,
        stall=stall,
    )


def _recent_rate(lines: Sequence[LoopSteps]) -> float | None:
    recent, window_s = list[LoopSteps](), 0.0
    for line in reversed(lines):
        recent.append(line)
        window_s += line.seconds
        if window_s > RATE_WINDOW_S and len(recent) >= _RATE_LINES:
            break
    steady = without_unmarked_pauses(recent)
    seconds = sum(line.seconds for line in steady)
    return sum(line.steps for line in steady) / seconds if seconds else None
