"""Wall-clock of a run: startup + training + evaluation + checkpoints + restarts, each a range.

The parts are drawn together 2,003 times, so that P10 to P95 of the total are percentiles of sums, and not sums of
percentiles.  Time in the queue is not part of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...cluster_profiles.units import format_significant, round_up_walltime_s
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..ranges import DRAWS, Range, normals, quantile, uniforms
from ..step_time.source import Source, SourceKind, StepTime
from .interruptions import (
    CheckpointInterval,
    Restarts,
    best_interval,
    failures_per_second,
    poisson_quantile,
)
from .intervals import interval_steps
from .pauses import IN_THE_RATE, EvaluationTime, Pauses, count_checkpoints, estimate_pauses, evaluation_time
from .steps import StepCount

# Seconds added to P95 in the requested walltime: for the last checkpoint, and for the end of the job.
GRACE_S = 300.0
# A job under the limit reaches two checkpoints, so that one at half the speed still reaches one.  Our judgement.
_CHECKPOINTS_PER_JOB = 2

# One stream of draws for each independent quantity.
_STARTUP, _TRAINING, _EVALUATION, _CHECKPOINT, _FAILURE_RATE, _FAILURES, _REPEATED = range(7)


@dataclass(frozen=True)
class Part:
    """One part of the wall-clock in seconds (None: unknown), and its source."""

    seconds: Range | None
    source: Source


@dataclass(frozen=True)
class WallClock:
    """The parts by name, their total, and the request to Slurm: `segments` jobs of `request_s` seconds each.

    A draw of the run pays a restart for each time limit that it meets, and none if it ends before the first.  It never
    ends where no job under the limit reaches its next checkpoint: `never_ends` is the share of such draws, which count
    with their time without a limit.  `total`, `p95`, `segments` and `request_s` are None if that is more than half of
    them, and if the step time is unknown.
    """

    parts: Mapping[str, Part]
    total: Range | None
    p95: float | None
    segments: int | None
    request_s: int | None
    checkpoint_interval: CheckpointInterval | None
    never_ends: float = 0.0


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
    evaluations_s = [m.evaluation_s for m in runs]
    if step_time.seconds is None:
        evaluation = evaluation_time(workload, steps, evaluations_s, None)
        return _unknown(workload, steps, pauses, evaluation, step_time.source)
    training = step_time.seconds.scaled(steps.micro_batches / workload.training.accumulation)
    evaluation = EvaluationTime(IN_THE_RATE, seconds=Range.exactly(0))
    if "evaluation" not in workload.throughput.includes:
        evaluation = evaluation_time(workload, steps, evaluations_s, training.p50)
    draws = _draw(workload, placement, steps, training, pauses, evaluation)
    parts = {
        "startup": Part(pauses.startup.range, pauses.startup.source),
        "training": Part(training, step_time.source),
        "evaluation": Part(Range.of_draws(draws.evaluation_s), evaluation.source),
        "checkpoints": Part(draws.checkpoint_s.scaled(draws.checkpoints), draws.checkpoints_source),
        "restarts": Part(Range.of_draws(draws.restarts_s), _restart_source(draws, pauses)),
    }
    segments = _segments(draws.cuts)
    if segments is None:
        return WallClock(parts, None, None, None, None, draws.interval, draws.never_ends)
    ordered = sorted(map(sum, zip(draws.uninterrupted_s, draws.restarts_s, strict=True)))
    p95 = quantile(ordered, 0.95)
    return WallClock(
        parts=parts,
        total=Range(*(quantile(ordered, q) for q in (0.1, 0.5, 0.9))),
        p95=p95,
        segments=segments,
        request_s=_request_s(p95 + GRACE_S, placement.limit_s, segments),
        checkpoint_interval=draws.interval,
        never_ends=draws.never_ends,
    )


@dataclass(frozen=True)
class _Draws:
    """Draws of the parts of a run; lists have one value per draw."""

    interval: CheckpointInterval
    checkpoints: int
    checkpoint_s: Range  # one
    checkpoints_source: Source
    evaluation_s: list[float]
    uninterrupted_s: list[float]  # all parts without the restarts
    failures: list[int]
    cuts: list[int | None]  # by the limit; None where the run never ends
    restarts_s: list[float]

    @property
    def never_ends(self) -> float:
        """Return the share of draws that never end under the limit."""
        return self.cuts.count(None) / DRAWS


def _draw(
    workload: Workload,
    placement: Placement,
    steps: StepCount,
    training: Range,
    pauses: Pauses,
    evaluation: EvaluationTime,
    cuts_per_second: float = 0.0,
) -> _Draws:
    """The draws; once a limit cuts some of them, it counts as an interruption, and it pays to save more often."""
    step_s, usable_s = training.p50 / max(steps.total, 1), _usable_s(placement.limit_s)
    save_s, restart_s = pauses.checkpoint.range.p50, pauses.startup.range.p50
    longest_s = max((usable_s - restart_s - save_s) / _CHECKPOINTS_PER_JOB, 0.0)
    interval = best_interval(
        save_s,
        restart_s,
        failures_per_second(pauses.failures.range.p50, pauses.failing_nodes) + cuts_per_second,
        step_s,
        training.p50,
        longest_s if cuts_per_second else math.inf,
    )
    checkpoints, source = count_checkpoints(workload, steps, interval, pauses.checkpoint.source)
    each_s = pauses.checkpoint.range
    if "checkpoints" in workload.throughput.includes:
        each_s, source = Range.exactly(0), IN_THE_RATE

    training_s, startup_s = training.draws(_TRAINING), pauses.startup.range.draws(_STARTUP)
    evaluation_s = (evaluation.seconds or Range.exactly(0)).draws(_EVALUATION)
    if evaluation.share:
        evaluation_s = [
            t * share for t, share in zip(training_s, evaluation.share.draws(_EVALUATION), strict=True)
        ]
    checkpoints_s = [checkpoints * x for x in each_s.draws(_CHECKPOINT)]
    uninterrupted_s = [
        sum(parts) for parts in zip(startup_s, training_s, evaluation_s, checkpoints_s, strict=True)
    ]
    limits_met = sum(max(math.ceil(s / usable_s) - 1, 0) for s in uninterrupted_s)
    if limits_met and not cuts_per_second:
        rate = limits_met / sum(uninterrupted_s)
        return _draw(workload, placement, steps, training, pauses, evaluation, rate)

    rates = [failures_per_second(x, pauses.failing_nodes) for x in pauses.failures.range.draws(_FAILURE_RATE)]
    failures = [
        poisson_quantile(r * t, u) for r, t, u in zip(rates, training_s, uniforms(_FAILURES), strict=True)
    ]
    every = interval_steps(workload.checkpoint, workload, steps)
    between = min(every / max(steps.total, 1), 1.0) if every else 1 / max(checkpoints, 1)
    restarts = [
        Restarts(startup, between * t, u, z)
        for startup, t, u, z in zip(
            startup_s, training_s, uniforms(_REPEATED), normals(_REPEATED), strict=True
        )
    ]
    rows = list(zip(restarts, uninterrupted_s, failures, strict=True))
    cuts = [restart.cuts(s, n, usable_s) for restart, s, n in rows]
    restarts_s = [restart.seconds(n + (cut or 0)) for (restart, _, n), cut in zip(rows, cuts, strict=True)]
    return _Draws(
        interval, checkpoints, each_s, source, evaluation_s, uninterrupted_s, failures, cuts, restarts_s
    )


def _usable_s(limit_s: float | None) -> float:
    """Seconds of a job under the limit for the run itself; infinite without a limit."""
    return math.inf if limit_s is None else limit_s - min(GRACE_S, limit_s / 10)


def _segments(cuts: Sequence[int | None]) -> int | None:
    """The fewest jobs that hold the run in 95 % of the draws, otherwise in half of them; None if none do."""
    ordered = sorted(math.inf if n is None else n for n in cuts)
    for q in (0.95, 0.5):
        jobs = ordered[math.ceil(q * (len(ordered) - 1))] + 1
        if jobs < math.inf:
            return int(jobs)
    return None


def _request_s(needed_s: float, limit: float | None, segments: int) -> int:
    if segments > 1 and limit:
        return int(limit)
    walltime_s = round_up_walltime_s(needed_s)
    return walltime_s if limit is None else min(walltime_s, int(limit))


def _restart_source(draws: _Draws, pauses: Pauses) -> Source:
    limits, failures = (
        format_significant(sum(n or 0 for n in numbers) / DRAWS, 2)
        for numbers in (draws.cuts, draws.failures)
    )
    at_limit = f"{limits} at the time limit, " if any(draws.cuts) else ""
    source = pauses.failures.source
    return Source(source.kind, f"{at_limit}{failures} failures expected ({source.text})")


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
    if workload.checkpoint.has_interval:
        checkpoints, source = count_checkpoints(workload, steps, None, pauses.checkpoint.source)
        parts["checkpoints"] = Part(pauses.checkpoint.range.scaled(checkpoints), source)
    return WallClock(parts, None, None, None, None, None)
