"""A step time and its source: given, measured, transferred, a prior, or unknown; and the words for a source."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ...cluster_profiles.units import join_names, plural
from ..job.shape import Shape
from ..measurements.measurement import Measurement
from ..ranges import Range
from .input_wait import Loader


class SourceKind(StrEnum):
    """How much stands behind a number, the most first."""

    GIVEN = "given"
    MEASURED = "measured"
    TRANSFERRED = "transferred"
    PRIOR = "prior"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Source:
    """Where a number comes from: its kind, its origin in words, how many runs, and what was assumed.

    `beyond` names the part of the shape that no run reached, with its verb, such as "8 GPUs are"; it is empty if the
    runs reached all of it.  It is `calibrated` if all of the runs were probes.
    """

    kind: SourceKind
    origin: str
    runs: int = 0
    assumed: tuple[str, ...] = ()
    beyond: str = ""
    calibrated: bool = False

    @property
    def text(self) -> str:
        """Return the source as one line."""
        beyond = f"{self.beyond} beyond what was measured"
        return "; ".join((self.origin, *([beyond] if self.beyond else []), *self.assumed))


@dataclass(frozen=True)
class StepParts:
    """The parts of a step at its P50, in seconds; they add up to it."""

    compute_s: float
    network_s: float
    input_s: float


@dataclass(frozen=True)
class StepTime:
    """The time of one optimizer step in seconds, None if unknown, and its source.

    Only the step model fills in `parts`, `suspects`: runs that are hard to believe, a line each, and `loaders`: what may
    make the step wait for its input, the likeliest first.
    """

    seconds: Range | None
    source: Source
    parts: StepParts | None = None
    suspects: tuple[str, ...] = ()
    loaders: tuple[Loader, ...] = ()


def unknown_step_time(reason: str) -> StepTime:
    """Return a step time that is not known, and why."""
    return StepTime(None, Source(SourceKind.UNKNOWN, reason))


def describe_runs(runs: Sequence[Measurement], now: datetime | None) -> str:
    """Return the runs in one phrase: how many, of which model, on which GPUs, and the age of the last."""
    counts = sorted({m.gpus for m in runs})
    span = str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
    types = dict.fromkeys(m.gpu or ("GPU" if counts == [1] else "GPUs") for m in runs)
    text = f"from {plural(len(runs), 'run')} of {runs[0].model} on {span} {' or '.join(types)}"
    dates = [m.when for m in runs if m.when]
    return f"{text}, the last {_age((now - max(dates)).days)}" if now and dates else text


def _age(days: int) -> str:
    return "today" if days < 1 else "yesterday" if days == 1 else f"{days:,} days ago"


def describe_beyond(dimensions: Sequence[str], shape: Shape) -> str:
    """Return the `dimensions` of `shape` that no run reached, with their verb; empty if there is none.

    >>> describe_beyond(("gpus", "batch_size"), Shape(None, 1, 8, 8, 32))
    '8 GPUs, a micro-batch of 32 are'
    """
    names = {
        "gpus": plural(shape.gpus, "GPU"),
        "nodes": plural(shape.nodes, "node"),
        "batch_size": f"a micro-batch of {shape.batch_size:,}",
        "accumulation": f"accumulation {shape.accumulation:,}",
        "model_parallel": f"{plural(shape.model_parallel, 'GPU')} per replica",
        "seq_len": f"{shape.seq_len or 0:,} tokens per sample",
    }
    if not dimensions:
        return ""
    listed = join_names([names[dimension] for dimension in dimensions])
    is_one = len(dimensions) == 1 and (listed.startswith(("1 ", "a ", "accumulation")))
    return f"{listed} {'is' if is_one else 'are'}"
