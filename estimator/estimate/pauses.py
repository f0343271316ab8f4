"""The time of a run beside its steps: startup, evaluations, checkpoints, failures; given, measured or a prior."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...cluster_profiles.units import ceil_div, format_duration, format_significant, plural
from ..job.flops import forward_share
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import (
    CHECKPOINT_BYTES,
    CHECKPOINT_BYTES_PER_S,
    CHECKPOINT_S,
    EVALUATION_SHARE_UNSTATED,
    EVALUATION_SHARE_UNTIMED,
    EVALUATION_WORK,
    FAILURE_NODE_GPUS,
    NODE_FAILURES_PER_1000_DAYS,
    SHORTEST_CHECKPOINT_S,
    STARTUP_S,
    Prior,
    evaluation_shrinkage,
)
from ..ranges import Range, quantile
from ..step_time.source import Source, SourceKind
from .interruptions import CheckpointInterval
from .intervals import count_evaluations, interval_steps
from .steps import StepCount

# The spread of a startup, an evaluation or a checkpoint around one that was timed: storage is shared.  Our judgement.
MEASURED_TIME_SPREAD = 0.3

# Of a pause that `throughput.includes` names.
IN_THE_RATE = Source(SourceKind.GIVEN, "in the given rate")


@dataclass(frozen=True)
class Quantity:
    """A number as a range, and its source."""

    range: Range
    source: Source


@dataclass(frozen=True)
class EvaluationTime:
    """The time of all evaluations: in seconds if that is known, otherwise as a share of the training time."""

    source: Source
    seconds: Range | None = None
    share: Range | None = None


@dataclass(frozen=True)
class Pauses:
    """The pauses that do not depend on the step time: seconds of one startup and one checkpoint, and failures."""

    startup: Quantity
    checkpoint: Quantity
    failures: Quantity  # per 1,000 days of one node
    failing_nodes: float  # the nodes of the job, those of 8 GPUs for the prior


def estimate_pauses(
    workload: Workload,
    placement: Placement,
    node_failures_per_1000_days: float | None,
    runs: Sequence[Measurement],
) -> Pauses:
    """Return the pauses: as the job file and the profile give them, otherwise as `runs` took, otherwise the priors."""
    if node_failures_per_1000_days is None:
        prior = NODE_FAILURES_PER_1000_DAYS
        failures = Quantity(prior.range, Source(SourceKind.PRIOR, prior.text))
        failing_nodes = placement.gpus / FAILURE_NODE_GPUS
    else:
        text = f"profile: {node_failures_per_1000_days:g} per 1,000 node-days"
        failures = Quantity(Range.exactly(node_failures_per_1000_days), Source(SourceKind.GIVEN, text))
        failing_nodes = placement.nodes
    return Pauses(
        startup=_seconds(workload.startup.time_s, [m.startup_s for m in runs], STARTUP_S),
        checkpoint=_seconds(
            workload.checkpoint.time_s, [m.checkpoint_s for m in runs], save_time(workload, placement)
        ),
        failures=failures,
        failing_nodes=failing_nodes,
    )


def save_time(workload: Workload, placement: Placement) -> Prior:
    """Return the seconds of one save: the bytes of what is trained, over the rate of the nodes that write.

    States that are sharded are written by every node, others by one; where neither is stated, by one, all, or some.
    """
    architecture, training = workload.architecture, workload.training
    trained = architecture.trainable_parameters or architecture.parameters
    if trained is None:
        return CHECKPOINT_S
    nodes = float(placement.nodes)
    writers = Range(1, math.sqrt(nodes), nodes)
    if training.zero_stage or training.model_parallel > 1:
        writers = Range.exactly(nodes)
    elif training.zero_stage == 0:
        writers = Range.exactly(1)
    size = CHECKPOINT_BYTES * trained
    seconds = CHECKPOINT_BYTES_PER_S.range.times(writers).inverted(size).at_least(SHORTEST_CHECKPOINT_S)
    return Prior(seconds, f"{format_significant(size / 1e9)} GB at {CHECKPOINT_BYTES_PER_S.text}")


def _seconds(stated_s: float | None, measured_s: Sequence[float | None], prior: Prior) -> Quantity:
    """Seconds of one pause: as given, otherwise as measured, otherwise the prior."""
    if stated_s is not None:
        return Quantity(Range.exactly(stated_s), Source(SourceKind.GIVEN, format_duration(stated_s)))
    return _measured(measured_s) or Quantity(prior.range, Source(SourceKind.PRIOR, prior.text))


def _measured(values: Sequence[float | None]) -> Quantity | None:
    """The median of the runs, as wide as they differ, and at least as wide as `MEASURED_TIME_SPREAD`."""
    ordered = sorted(value for value in values if value)
    if not ordered:
        return None
    middle = quantile(ordered, 0.5)
    low, high = (quantile(ordered, q) for q in (0.1, 0.9))
    least = Range.around(middle, MEASURED_TIME_SPREAD)
    text = f"{format_duration(middle)} in {plural(len(ordered), 'run')}"
    return Quantity(
        Range(min(low, least.p10), middle, max(high, least.p90)),
        Source(SourceKind.MEASURED, text, len(ordered)),
    )


def evaluation_time(
    workload: Workload, steps: StepCount, measured_s: Sequence[float | None], training_s: float | None
) -> EvaluationTime:
    """Return the time of all evaluations.

    `measured_s` are the seconds of one in each run, and `training_s` those of all steps: the longer they are, the less of
    them evaluations take that nobody timed.
    """
    stated = workload.evaluation
    every, times = interval_steps(stated, workload, steps), count_evaluations(workload, steps)
    shrinkage = 1.0 if training_s is None else evaluation_shrinkage(training_s)
    if every is None or times is None:
        prior = EVALUATION_SHARE_UNSTATED
        return EvaluationTime(Source(SourceKind.PRIOR, prior.text), share=prior.range.scaled(shrinkage))
    if not times:
        beyond = f"one every {every:,} steps, and training has {steps.total:,}"
        why = f"none: {beyond if every else 'every_steps is 0'}"
        return EvaluationTime(Source(SourceKind.GIVEN, why), seconds=Range.exactly(0))
    if stated.time_s is not None:
        return EvaluationTime(
            Source(SourceKind.GIVEN, f"{times:,} x {format_duration(stated.time_s)}"),
            seconds=Range.exactly(times * stated.time_s),
        )
    if measured := _measured(measured_s):
        source = replace(measured.source, origin=f"{times:,} x {measured.source.origin}")
        return EvaluationTime(source, seconds=measured.range.scaled(times))
    if samples := evaluated_samples(workload):
        return _forward_passes(workload, steps, times, samples)
    prior = EVALUATION_SHARE_UNTIMED
    return EvaluationTime(
        Source(SourceKind.PRIOR, f"{times:,} of unknown length; {prior.text}"),
        share=prior.range.scaled(shrinkage),
    )


def evaluated_samples(workload: Workload) -> int | None:
    """Return the samples of one evaluation: as stated, otherwise those held out for validation; None without either."""
    return workload.evaluation.samples or workload.data.validation_samples or None


def _forward_passes(workload: Workload, steps: StepCount, times: int, samples: int) -> EvaluationTime:
    """The time of forward passes, as a share of that of training: it has the same speed."""
    work = forward_share(workload)
    text = f"{times:,} x {samples:,} samples, {work:.0%} of the work of a trained one, {EVALUATION_WORK.text}"
    share = EVALUATION_WORK.range.scaled(times * samples * work / steps.samples)
    return EvaluationTime(Source(SourceKind.PRIOR, text), share=share)


def count_checkpoints(
    workload: Workload, steps: StepCount, interval: CheckpointInterval | None, each: Source
) -> tuple[int, Source]:
    """Return the number of checkpoints, the final one included, and the source of that number and of their time."""
    every = interval_steps(workload.checkpoint, workload, steps)
    if every == 0:
        return 0, Source(SourceKind.GIVEN, "none: every_steps is 0")
    if not steps.total:
        return 0, Source(SourceKind.GIVEN, "none: training has no step")
    if every is None and interval:
        number = ceil_div(steps.total, interval.steps)
        when = f"every {plural(interval.steps, 'step')}, the best interval" if number > 1 else "at the end"
        return number, Source(each.kind, f"not stated; {number:,} {when}; {each.text}")
    number = ceil_div(steps.total, every or steps.total)
    return number, Source(each.kind, f"{number:,} with the last, each {each.text}")
