"""What advice is given on, and one piece of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from .memory import Memory
from .placement import Placement
from .runs import Measurement
from .steps import StepCount
from .throughput import Throughput
from .walltime import WallClock
from .workload import Workload


@dataclass(frozen=True)
class Advice:
    """One line for the user; `code` is stable.  Of several shapes that with the largest `weight` speaks for all."""

    code: str
    text: str
    weight: float = 0.0


@dataclass(frozen=True)
class Case:
    """Everything the advice may look at."""

    workload: Workload
    placement: Placement
    steps: StepCount
    throughput: Throughput
    clock: WallClock
    memory: Memory
    has_profile: bool
    measurements: Sequence[Measurement] = ()
