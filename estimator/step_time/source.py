"""A step time with where it was learnt: given, measured, transferred, a prior, or unknown."""

from dataclasses import dataclass
from enum import StrEnum

from ..ranges import Range


class SourceKind(StrEnum):
    GIVEN = "given"
    MEASURED = "measured"
    TRANSFERRED = "transferred"
    PRIOR = "prior"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Source:
    """Where a number comes from: its kind, what was given or measured, over how many runs, what was assumed.

    `beyond` is what of the shape lies beyond what was measured, with its verb, such as "8 GPUs are"; empty if nothing does.
    """

    kind: SourceKind
    origin: str
    runs: int = 0
    assumed: tuple[str, ...] = ()
    beyond: str = ""

    @property
    def text(self) -> str:
        beyond = f"{self.beyond} beyond what was measured"
        return "; ".join((self.origin, *([beyond] if self.beyond else []), *self.assumed))


@dataclass(frozen=True)
class StepParts:
    """What a step's P50 is made of, in seconds, as the learned model tells it from the runs."""

    compute_s: float
    network_s: float
    input_s: float


@dataclass(frozen=True)
class StepTime:
    """The time of one optimizer step in seconds, None if unknown, and its source.

    `parts` and `suspects`, runs that are hard to believe, come from the learned model.
    """

    seconds: Range | None
    source: Source
    parts: StepParts | None = None
    suspects: tuple[str, ...] = ()


def unknown_step_time(text: str) -> StepTime:
    """No step time, and why."""
    return StepTime(None, Source(SourceKind.UNKNOWN, text))
