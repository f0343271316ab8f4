"""Wall-clock of a run: startup + training + evaluation + checkpoints + restarts, each a range.

The parts are drawn together 2,003 times, so that P10 to P95 of the total are percentiles of sums, and not sums of
percentiles.  Time in the queue is not part of it.
"""

import bisect
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...cluster_profiles.units import format_significant, round_up_walltime_s
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..ranges import DRAWS, Range, normals, quantile, uniforms
from ..step_time.source import Source, SourceKind, StepTime
from .interruptions import (
    CheckpointInterval,
    best_interval,
    failures_per_second,
    poisson_quantile,
    repeated_intervals,
)
from .pauses import EvaluationTime, Pauses, count_checkpoints, estimate_pauses, evaluation_time
from .steps import StepCount

# Seconds added to P95 in the requested walltime: for the last checkpoint, and for the end of the job.
GRACE_S = 300.0
_MOST_SEGMENTS = 100_000

# One stream of draws for each independent unpauses.
_STARTUP, _TRAINING, _EVALUATION, _CHECKPOINT, _FAILURE_RATE, _FAILURES, _REPEATED = range(7)


@dataclass(frozen=True)
class Part:
    """One part of the wall-clock in seconds (None: unknown), and its source."""

    seconds: Range | None
    source: Source


@dataclass(frozen=True)
class WallClock:
    """The parts by name, their total, and the request to Slurm: `segments` jobs of `request_s` seconds each.

    `total`, `p95`, `segments` and `request_s` are None if the step time is unknown, and if the run never ends because no
    job under the partition's limit reaches its next checkpoint.
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
    """Return the wall-clock of `steps`, cut into segments by the partition's limit; `runs` are those of the job's model."""
    pauses = estimate_pauses(workload, placement, node_failures_per_1000_days, runs)
    evaluation = evaluation_time(workload, steps, [m.evaluation_s for m in runs])
    if step_time.seconds is None:
        return _unknown(workload, steps, pauses, evaluation, step_time.source)
    training = step_time.seconds.scaled(steps.micro_batches / workload.training.accumulation)
    draws = _draw(workload, placement, steps, training, pauses, evaluation)
    if draws.segments != 1:  # then every time limit interrupts too, and it pays to save more often
        draws = _draw(workload, placement, steps, training, pauses, evaluation, limited=True)

    restarts = Range.of_draws(draws.restarts(draws.segments or 1))
    parts = {
        "startup": Part(pauses.startup.range, pauses.startup.source),
        "training": Part(training, step_time.source),
        "evaluation": Part(Range.of_draws(draws.evaluation_s), evaluation.source),
        "checkpoints": Part(pauses.checkpoint.range.scaled(draws.checkpoints), draws.checkpoints_source),
        "restarts": Part(restarts, _restart_source(draws, pauses)),
    }
    if draws.segments is None:
        return WallClock(parts, None, None, None, None, draws.interval)
    ordered = draws.totals(draws.segments)
    p95 = quantile(ordered, 0.95)
    return WallClock(
        parts=parts,
        total=Range(*(quantile(ordered, q) for q in (0.1, 0.5, 0.9))),
        p95=p95,
        segments=draws.segments,
        request_s=_request_s(p95 + GRACE_S, placement.limit_s, draws.segments),
        checkpoint_interval=draws.interval,
    )


@dataclass(frozen=True)
class _Draws:
    """Draws of the parts of a run, and the segments that they need; lists have one value per draw."""

    interval: CheckpointInterval
    checkpoints: int
    checkpoints_source: Source
    evaluation_s: list[float]
    uninterrupted_s: list[float]  # all parts without the restarts
    startup_s: list[float]
    work_between_checkpoints_s: float
    failures: list[int]
    segments: int | None = None

    def restarts(self, segments: int) -> list[float]:
        """Return the seconds of all restarts: each starts up again, and repeats the work since the last checkpoint."""
        rows = zip(self.failures, self.startup_s, uniforms(_REPEATED), normals(_REPEATED), strict=True)
        cuts = segments - 1
        lost_s = self.work_between_checkpoints_s
        return [
            (n + cuts) * startup_s + lost_s * repeated_intervals(n + cuts, u, z)
            for n, startup_s, u, z in rows
        ]

    def totals(self, segments: int) -> list[float]:
        """Return the wall-clock in seconds with so many segments, in ascending order."""
        return sorted(map(operator.add, self.uninterrupted_s, self.restarts(segments)))


def _draw(
    workload: Workload,
    placement: Placement,
    steps: StepCount,
    training: Range,
    pauses: Pauses,
    evaluation: EvaluationTime,
    *,
    limited: bool = False,
) -> _Draws:
    limit, step_s = placement.limit_s, training.p50 / max(steps.total, 1)
    rate = failures_per_second(pauses.failures.range.p50, pauses.failing_nodes)
    if limited and limit:
        rate += 1 / limit
    interval = best_interval(
        pauses.checkpoint.range.p50, pauses.startup.range.p50, rate, step_s, training.p50
    )
    checkpoints, source = count_checkpoints(workload, steps, interval, pauses.checkpoint.source)

    training_s, startup_s = training.draws(_TRAINING), pauses.startup.range.draws(_STARTUP)
    evaluation_s = (evaluation.seconds or Range.exactly(0)).draws(_EVALUATION)
    if evaluation.share:
        evaluation_s = [
            t * share for t, share in zip(training_s, evaluation.share.draws(_EVALUATION), strict=True)
        ]
    checkpoints_s = [checkpoints * x for x in pauses.checkpoint.range.draws(_CHECKPOINT)]
    uninterrupted_s = [
        sum(parts) for parts in zip(startup_s, training_s, evaluation_s, checkpoints_s, strict=True)
    ]
    rates = [failures_per_second(x, pauses.failing_nodes) for x in pauses.failures.range.draws(_FAILURE_RATE)]
    failures = [
        poisson_quantile(r * t, u) for r, t, u in zip(rates, training_s, uniforms(_FAILURES), strict=True)
    ]
    every = min(workload.checkpoint.every_steps or steps.total, steps.total)
    between_s = every * step_s
    if checkpoints and not workload.checkpoint.every_steps:
        between_s = training.p50 / checkpoints
    draws = _Draws(
        interval, checkpoints, source, evaluation_s, uninterrupted_s, startup_s, between_s, failures
    )
    return replace(draws, segments=_segments(draws, limit))


def _segments(draws: _Draws, limit: float | None) -> int | None:
    """The fewest jobs under the limit whose walltimes hold the P95 of the total, otherwise its P50; None if none do."""
    if limit is None:
        return 1
    usable = limit - min(GRACE_S, limit / 10)
    for q in (0.95, 0.5):

        def holds(segments: int, q: float = q) -> bool:
            return quantile(draws.totals(segments), q) <= segments * usable

        if holds(1):
            return 1
        if draws.work_between_checkpoints_s > usable:  # no job reaches its next checkpoint
            return None
        most = 2
        while most < _MOST_SEGMENTS and not holds(most):
            most *= 2
        if holds(most):
            return bisect.bisect_left(range(most), True, lo=most // 2, key=holds)  # noqa: FBT003
    return None


def _request_s(needed_s: float, limit: float | None, segments: int) -> int:
    if segments > 1 and limit:
        return int(limit)
    walltime_s = round_up_walltime_s(needed_s)
    return walltime_s if limit is None else min(walltime_s, int(limit))


def _restart_source(draws: _Draws, pauses: Pauses) -> Source:
    at_limit = f"{draws.segments - 1:,} at the time limit, " if draws.segments and draws.segments > 1 else ""
    expected = format_significant(sum(draws.failures) / DRAWS, 2)
    failures = pauses.failures.source
    return Source(failures.kind, f"{at_limit}{expected} failures expected ({failures.text})")


def _unknown(
    workload: Workload,
    steps: StepCount,
    pauses: Pauses,
    evaluation: EvaluationTime,
    step_time_source: Source,
) -> WallClock:
    """The parts that are known without a step time."""
    unknown = Part(None, Source(SourceKind.UNKNOWN, "follows from the step time, which is unknown"))
    parts = {
        "startup": Part(pauses.startup.range, pauses.startup.source),
        "training": Part(None, step_time_source),
        "evaluation": unknown,
        "checkpoints": unknown,
        "restarts": unknown,
    }
    if evaluation.seconds is not None:
        parts["evaluation"] = Part(evaluation.seconds, evaluation.source)
    if workload.checkpoint.every_steps is not None:
        checkpoints, source = count_checkpoints(workload, steps, None, pauses.checkpoint.source)
        parts["checkpoints"] = Part(pauses.checkpoint.range.scaled(checkpoints), source)
    return WallClock(parts, None, None, None, None, None)
