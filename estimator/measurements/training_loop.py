"""The lines that a training loop reports of itself, as frozen values.

Training scripts import this with the tracker, so it needs the standard library alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

TRACK = "track"


@dataclass(frozen=True, slots=True)
class LoopStart:
    """A training loop began, after `step` steps in all; `total`, `batch_size` and `dtype` are as the script states.

    `source` is what tells it: `track` in the loop, or else a log or a file that the framework writes.
    """

    time_s: float
    step: int
    total: int | None = None
    attempt: str = ""
    batch_size: int | None = None
    dtype: str | None = None
    source: str = TRACK


@dataclass(frozen=True, slots=True)
class LoopSteps:
    """`steps` steps of `samples` took `seconds` without pauses, `wait_s` of them for input; `step` are done in all."""

    time_s: float
    step: int
    steps: int
    seconds: float
    longest_s: float
    wait_s: float | None = None
    loss: float | None = None
    learning_rate: float | None = None
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class LoopEvaluation:
    """After `step` steps the loss on a validation set is `loss`."""

    time_s: float
    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class LoopPause:
    """Training stopped for an evaluation or a checkpoint."""

    time_s: float
    step: int
    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LoopEnd:
    """The loop ended, after `step` steps in all."""

    time_s: float
    step: int


@dataclass(frozen=True, slots=True)
class LoopDtype:
    """The loop computes in `dtype`, as torch calls it, by what its tracker saw."""

    time_s: float
    step: int
    dtype: str


LoopLine = LoopStart | LoopSteps | LoopEvaluation | LoopPause | LoopEnd | LoopDtype


def steady_lines(lines: Iterable[LoopLine]) -> list[LoopSteps]:
    """Return the lines of steps without the first of each loop, which compiles, allocates and fills queues."""
    steady, first = [], True
    for line in lines:
        if isinstance(line, LoopStart | LoopEnd):
            first = True
        elif isinstance(line, LoopSteps):
            if not first:
                steady.append(line)
            first = False
    return steady
