"""The case that advice is given on, and one piece of advice."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..memory.peak import Memory
from ..step_time.source import StepTime
from .intervals import interval_steps
from .steps import StepCount
from .walltime import WallClock


@dataclass(frozen=True)
class Advice:
    """One line for the user; `code` is stable.

    Where several shapes have the same advice, the line with the largest `weight` is shown.
    """

    code: str
    text: str
    weight: float = 0.0


@dataclass(frozen=True)
class Case:
    """One job, placed and estimated: all that advice may depend on."""

    workload: Workload
    placement: Placement
    steps: StepCount
    step_time: StepTime
    clock: WallClock
    memory: Memory
    has_profile: bool
    measurements: Sequence[Measurement] = ()

    @property
    def checkpoint_steps(self) -> int | None:
        """Return the steps between checkpoints: 0 for never, None if that is not stated."""
        return interval_steps(self.workload.checkpoint, self.workload, self.steps)
