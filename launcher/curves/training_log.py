"""What a training left: its curve, and how long its steps took.  Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from ...estimator.stopping.curve import Curve, Point
from ...estimator.stopping.trend import median


@dataclass(frozen=True)
class TrainingLog:
    """The curve of one training; None is what it does not tell.

    `step_time_s` are seconds per step with its pauses, `steps` those that the run itself has done, `gpus` all its GPUs,
    and `origin` what it was read from.  `speeds` has the steps per second at steps, without pauses.  `trainers_choice`
    is the metric by which the trainer chose its best checkpoint.
    """

    curve: Curve
    origin: str
    step_time_s: float | None = None
    steps: int | None = None
    gpus: int | None = None
    trainers_choice: str | None = None
    speeds: tuple[Point, ...] = ()

    @classmethod
    def nothing(cls) -> "TrainingLog":
        """Return the log of a training that tells nothing."""
        return cls(Curve(), "")


def step_time_of(clock: Iterable[tuple[int, float]]) -> float | None:
    """Return the median seconds per step between pairs of a step and its time, in their order; None for fewer than two.

    Where steps or times go back, after a resume, no time is taken.

    >>> step_time_of([(10, 100.0), (20, 120.0), (30, 141.0), (20, 500.0), (30, 520.0)])
    2.0
    """
    times_s = [
        (later_s - earlier_s) / (later - earlier)
        for (earlier, earlier_s), (later, later_s) in pairwise(clock)
        if later > earlier and later_s > earlier_s
    ]
    return median(times_s) if times_s else None
