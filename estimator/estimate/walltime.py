"""Wall-clock of a run: startup + training + evaluation + checkpoints + restarts, each a range.

The parts are drawn together 2,003 times, so the whole's P10 to P95 are those of the sum, and not the sum
of the parts' percentiles.  Time in the queue is not part of it.
"""

import bisect
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...cluster_profiles.units import format_significant, round_up_walltime_s
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import CHECKPOINT_S, FAILURE_NODE_GPUS, STARTUP_S
from ..ranges import DRAWS, Range, normals, quantile, uniforms
from ..step_time.source import Source, SourceKind, StepTime
from .interruptions import CheckpointInterval, best_interval, failures_per_second, poisson_quantile, repeated
from .pauses import EvaluationTime, Quantity, evaluation_time, failures, saves_of, startup_or_save_time
from .steps import StepCount

# Added to P95 in the walltime asked for: the last checkpoint, and the job's own end.
GRACE_S = 300.0
_MOST_SEGMENTS = 100_000

# One stream of draws for each independent unknown.
_STARTUP, _TRAINING, _EVALUATION, _CHECKPOINT, _FAILURE_RATE, _FAILURES, _REWORK = range(7)


@dataclass(frozen=True)
class Part:
    """One part of the wall-clock in seconds (None: unknown), and its source."""

    seconds: Range | None
    source: Source


@dataclass(frozen=True)
class WallClock:
    """The parts by name, the whole, and what to ask Slurm for: `segments` jobs of `request_s` each.

    `total`, `p95`, `segments` and `request_s` are None where time is unknown, and where the run never ends
    because no job under the partition's limit gets as far as its next checkpoint.
    """

    parts: Mapping[str, Part]
    total: Range | None
    p95: float | None
    segments: int | None
    request_s: int | None
    checkpoint_interval: CheckpointInterval | None


def estimate_wall_clock(
    workload: Workload,
    placement: Placement,
    steps: StepCount,
    step_time: StepTime,
    node_failures_per_1000_days: float | None = None,
    runs: Sequence[Measurement] = (),
) -> WallClock:
    """The wall-clock of `steps` steps, and how it fits the partition's limit; `runs` are those of the job's model."""
    known = _Known(
        startup=startup_or_save_time(workload.startup.time_s, [m.startup_s for m in runs], STARTUP_S),
        save=startup_or_save_time(workload.checkpoint.time_s, [m.checkpoint_s for m in runs], CHECKPOINT_S),
        failures=failures(node_failures_per_1000_days),
        failing_nodes=(
            placement.gpus / FAILURE_NODE_GPUS if node_failures_per_1000_days is None else placement.nodes
        ),
    )
    evaluation = evaluation_time(workload, steps, [m.evaluation_s for m in runs])
    if step_time.seconds is None:
        return _unknown(workload, steps, known, evaluation, step_time.source)
    training = step_time.seconds.scaled(steps.micro_batches / workload.training.accumulation)
    course = _course(workload, placement, steps, training, known, evaluation)
    if course.segments != 1:  # then every time limit interrupts too, and it pays to save more often
        course = _course(workload, placement, steps, training, known, evaluation, limited=True)

    restarts = Range.of_draws(course.restarts(course.segments or 1))
    parts = {
        "startup": Part(known.startup.range, known.startup.source),
        "training": Part(training, step_time.source),
        "evaluation": Part(Range.of_draws(course.evaluation_s), evaluation.source),
        "checkpoints": Part(known.save.range.scaled(course.saves), course.saving),
        "restarts": Part(restarts, _restart_source(course, known)),
    }
    if course.segments is None:
        return WallClock(parts, None, None, None, None, course.interval)
    ordered = course.totals(course.segments)
    p95 = quantile(ordered, 0.95)
    return WallClock(
        parts=parts,
        total=Range(*(quantile(ordered, q) for q in (0.1, 0.5, 0.9))),
        p95=p95,
        segments=course.segments,
        request_s=_request_s(p95 + GRACE_S, placement.limit_s, course.segments),
        checkpoint_interval=course.interval,
    )


@dataclass(frozen=True)
class _Known:
    """What does not depend on the step time."""

    startup: Quantity
    save: Quantity
    failures: Quantity  # of a node in 1,000 days
    failing_nodes: float  # how many of those nodes the job has


@dataclass(frozen=True)
class _Course:
    """How a run goes: draws of its parts, and how many jobs it takes."""

    interval: CheckpointInterval
    saves: int
    saving: Source
    evaluation_s: list[float]
    undisturbed_s: list[float]  # all parts but the restarts
    startup_s: list[float]
    every_s: float  # of work between two checkpoints
    failed: list[int]
    segments: int | None = None

    def restarts(self, segments: int) -> list[float]:
        """Seconds of all restarts: each starts up again, and repeats what was done since the last checkpoint."""
        draws = zip(self.failed, self.startup_s, uniforms(_REWORK), normals(_REWORK), strict=True)
        times = segments - 1
        return [(n + times) * start + self.every_s * repeated(n + times, u, z) for n, start, u, z in draws]

    def totals(self, segments: int) -> list[float]:
        """The wall-clock in ascending order, if it takes so many jobs."""
        return sorted(map(operator.add, self.undisturbed_s, self.restarts(segments)))


def _course(
    workload: Workload,
    placement: Placement,
    steps: StepCount,
    training: Range,
    known: _Known,
    evaluation: EvaluationTime,
    *,
    limited: bool = False,
) -> _Course:
    limit, step_s = placement.limit_s, training.p50 / max(steps.total, 1)
    rate = failures_per_second(known.failures.range.p50, known.failing_nodes)
    if limited and limit:
        rate += 1 / limit
    interval = best_interval(known.save.range.p50, known.startup.range.p50, rate, step_s, training.p50)
    saves, saving = saves_of(workload, steps, interval, known.save.source)

    training_s, startup_s = training.draws(_TRAINING), known.startup.range.draws(_STARTUP)
    evaluation_s = (evaluation.seconds or Range.exactly(0)).draws(_EVALUATION)
    if evaluation.share:
        evaluation_s = [
            t * share for t, share in zip(training_s, evaluation.share.draws(_EVALUATION), strict=True)
        ]
    saving_s = [saves * x for x in known.save.range.draws(_CHECKPOINT)]
    undisturbed_s = [sum(parts) for parts in zip(startup_s, training_s, evaluation_s, saving_s, strict=True)]
    rates = [failures_per_second(x, known.failing_nodes) for x in known.failures.range.draws(_FAILURE_RATE)]
    failed = [
        poisson_quantile(r * t, u) for r, t, u in zip(rates, training_s, uniforms(_FAILURES), strict=True)
    ]
    every = min(workload.checkpoint.every_steps or steps.total, steps.total)  # the last may come sooner
    every_s = training.p50 / saves if saves and not workload.checkpoint.every_steps else every * step_s
    course = _Course(interval, saves, saving, evaluation_s, undisturbed_s, startup_s, every_s, failed)
    return replace(course, segments=_segments(course, limit))


def _segments(course: _Course, limit: float | None) -> int | None:
    """The fewest jobs under the limit whose walltimes hold the whole: its P95, else its P50; None if none do."""
    if limit is None:
        return 1
    usable = limit - min(GRACE_S, limit / 10)
    for q in (0.95, 0.5):

        def holds(segments: int, q: float = q) -> bool:
            return quantile(course.totals(segments), q) <= segments * usable

        if holds(1):
            return 1
        if course.every_s > usable:  # no job reaches its next checkpoint
            return None
        most = 2
        while most < _MOST_SEGMENTS and not holds(most):
            most *= 2
        if holds(most):
            return bisect.bisect_left(range(most), True, lo=most // 2, key=holds)  # noqa: FBT003
    return None


def _request_s(needed: float, limit: float | None, segments: int) -> int:
    if segments > 1 and limit:
        return int(limit)
    asked = round_up_walltime_s(needed)
    return asked if limit is None else min(asked, int(limit))


def _restart_source(course: _Course, known: _Known) -> Source:
    planned = (
        f"{course.segments - 1:,} at the time limit, " if course.segments and course.segments > 1 else ""
    )
    expected = format_significant(sum(course.failed) / DRAWS, 2)
    failures = known.failures.source
    return Source(failures.kind, f"{planned}{expected} failures expected ({failures.text})")


def _unknown(
    workload: Workload, steps: StepCount, known: _Known, evaluation: EvaluationTime, source: Source
) -> WallClock:
    """What can be said without a step time."""
    nothing = Part(None, Source(SourceKind.UNKNOWN, "follows from the step time, which is unknown"))
    parts = {
        "startup": Part(known.startup.range, known.startup.source),
        "training": Part(None, source),
        "evaluation": nothing,
        "checkpoints": nothing,
        "restarts": nothing,
    }
    if evaluation.seconds is not None:
        parts["evaluation"] = Part(evaluation.seconds, evaluation.source)
    if workload.checkpoint.every_steps is not None:
        saves, saving = saves_of(workload, steps, None, known.save.source)
        parts["checkpoints"] = Part(known.save.range.scaled(saves), saving)
    return WallClock(parts, None, None, None, None, None)
