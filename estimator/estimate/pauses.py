"""What a run spends beside its steps: a startup, evaluations, saves, failures; each given, measured or a prior."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...cluster_profiles.units import ceil_div, format_duration, plural
from ..job.workload import Workload
from ..priors import EVALUATION_SHARE, EVALUATION_SHARE_UNSTATED, NODE_FAILURES_PER_1000_DAYS, Prior
from ..ranges import Range, quantile
from ..step_time.source import Source, SourceKind
from .interruptions import CheckpointInterval
from .steps import StepCount

# How far a startup, an evaluation or a save may be from one that was timed: storage is shared.  Our judgement.
MEASURED_TIME_SPREAD = 0.3


@dataclass(frozen=True)
class Quantity:
    """One number as a range, and where it comes from."""

    range: Range
    source: Source


@dataclass(frozen=True)
class EvaluationTime:
    """Seconds in all if that is known, else a share of training."""

    source: Source
    seconds: Range | None = None
    share: Range | None = None


def startup_or_save_time(given_s: float | None, measured_s: Sequence[float | None], prior: Prior) -> Quantity:
    """Seconds of one startup or save: as given, else as runs took, else the prior."""
    if given_s is not None:
        return Quantity(Range.exactly(given_s), Source(SourceKind.GIVEN, format_duration(given_s)))
    return _measured(measured_s) or Quantity(prior.range, Source(SourceKind.PRIOR, prior.text))


def _measured(values: Sequence[float | None]) -> Quantity | None:
    """The median of runs, as wide as they differ, and no narrower than a time that was seen once or twice is."""
    known = sorted(value for value in values if value)
    if not known:
        return None
    middle = quantile(known, 0.5)
    low, high = (quantile(known, q) for q in (0.1, 0.9))
    least = Range.around(middle, MEASURED_TIME_SPREAD)
    text = f"{format_duration(middle)} in {plural(len(known), 'run')}"
    return Quantity(
        Range(min(low, least.p10), middle, max(high, least.p90)),
        Source(SourceKind.MEASURED, text, len(known)),
    )


def failures(given: float | None) -> Quantity:
    """Failures of a node in 1,000 days."""
    if given is None:
        return Quantity(
            NODE_FAILURES_PER_1000_DAYS.range, Source(SourceKind.PRIOR, NODE_FAILURES_PER_1000_DAYS.text)
        )
    return Quantity(Range.exactly(given), Source(SourceKind.GIVEN, f"profile: {given:g} in 1,000 node-days"))


def evaluation_time(
    workload: Workload, steps: StepCount, measured_s: Sequence[float | None]
) -> EvaluationTime:
    """Of all evaluations; `measured_s` is what one took in each run."""
    every, time_s = workload.evaluation.every_steps, workload.evaluation.time_s
    if every is None:
        prior = EVALUATION_SHARE_UNSTATED
        return EvaluationTime(Source(SourceKind.PRIOR, prior.text), share=prior.range)
    if every == 0:
        return EvaluationTime(Source(SourceKind.GIVEN, "none: every_steps is 0"), seconds=Range.exactly(0))
    times = steps.total // every
    if not times:
        return EvaluationTime(
            Source(SourceKind.GIVEN, f"none: every {every:,} steps, of {steps.total:,}"),
            seconds=Range.exactly(0),
        )
    measured = _measured(measured_s)
    if time_s is None and measured:
        source = replace(measured.source, origin=f"{times:,} x {measured.source.origin}")
        return EvaluationTime(source, seconds=measured.range.scaled(times))
    if time_s is None:
        prior = EVALUATION_SHARE
        return EvaluationTime(
            Source(SourceKind.PRIOR, f"{times:,} of unknown length; {prior.text}"), share=prior.range
        )
    return EvaluationTime(
        Source(SourceKind.GIVEN, f"{times:,} x {format_duration(time_s)}"),
        seconds=Range.exactly(times * time_s),
    )


def saves_of(
    workload: Workload, steps: StepCount, interval: CheckpointInterval | None, each: Source
) -> tuple[int, Source]:
    """How many checkpoints, the final one included, and why."""
    every = workload.checkpoint.every_steps
    if every == 0:
        return 0, Source(SourceKind.GIVEN, "none: every_steps is 0")
    if not steps.total:
        return 0, Source(SourceKind.GIVEN, "none: no step is made")
    if every is None and interval:
        saves = ceil_div(steps.total, interval.steps)
        when = f"every {plural(interval.steps, 'step')}, the best interval" if saves > 1 else "at the end"
        return saves, Source(each.kind, f"not stated; {saves:,} {when}; {each.text}")
    saves = ceil_div(steps.total, every or steps.total)
    return saves, Source(each.kind, f"{saves:,} with the last; {each.text} each")
