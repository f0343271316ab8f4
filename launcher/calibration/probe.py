"""A probe: a short run of a job in one shape, stopped once its step time is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ...estimator.job.shape import Shape
from ...estimator.measurements.steady_state import steady_state, step_time_error
from ...estimator.measurements.training_loop import LoopLine, LoopSteps
from ..runs.state import State


class ProbeEnd(StrEnum):
    """Why a probe ended: its step time was known, its time was over, or its command ended before."""

    KNOWN = "known"
    TIME_OVER = "time_over"
    ENDED = "ended"
    FAILED = "failed"


class StopReason(StrEnum):
    """Why no more probes were run."""

    NARROW = "narrow"
    BUDGET = "budget"
    FAILED = "failed"
    NO_PROGRESS = "no_progress"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Probe:
    """A probe as it ended, in its shape; None is not known.

    `step_time_s` is the mean of its steady steps, and `error` how far that may be off, as a share of it.  `gpu_s` is the
    time that it held its GPUs x their number.  `steps` are those that it reported, and `reason` why it failed.
    """

    run: str
    folder: Path
    shape: Shape
    partition: str | None
    state: State
    end: ProbeEnd
    gpu_s: float
    steps: int = 0
    step_time_s: float | None = None
    error: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Speed:
    """What the lines of a training loop tell of its step time so far; None is not known."""

    steps: int
    step_time_s: float | None
    error: float | None


def read_speed(lines: Sequence[LoopLine]) -> Speed:
    """Return the steps that a loop reported, their steady time, and how far that may be off.

    >>> read_speed([])
    Speed(steps=0, step_time_s=None, error=None)
    """
    steady = steady_state(lines)
    steps = sum(line.steps for line in lines if isinstance(line, LoopSteps))
    return Speed(steps, steady.step_time_s if steady else None, step_time_error(lines))
