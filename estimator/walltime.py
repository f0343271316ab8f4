"""Wall-clock of a run: startup + training + evaluation + checkpoints + restarts, each a range.

The parts are drawn together 2,003 times, so the whole's P10 to P95 are those of the sum, and not the sum
of the parts' percentiles.  Time in the queue is not part of it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..cluster_profiles.units import DAY_S, format_duration, format_significant, round_up_walltime_s
from .placement import Placement
from .priors import (
    CHECKPOINT_S,
    EVALUATION_SHARE,
    EVALUATION_SHARE_UNSTATED,
    FAILURE_NODE_GPUS,
    NODE_FAILURES_PER_1000_DAYS,
    STARTUP_S,
    Prior,
)
from .ranges import DRAWS, Range, quantile, uniforms
from .steps import StepCount, cdiv
from .throughput import Source, SourceKind, Throughput
from .workload import Workload

# Added to P95 in the walltime asked for: the last checkpoint, and the job's own end.
GRACE_S = 300.0
_MOST_SEGMENTS = 100_000
_MOST_EXACT_POISSON_MEAN = 30.0

# One stream of draws for each independent unknown.
_STARTUP, _TRAINING, _EVALUATION, _CHECKPOINT, _FAILURE_RATE, _FAILURES, _REWORK = range(7)


@dataclass(frozen=True)
class Part:
    """One part of the wall-clock in seconds (None: unknown), and its source."""

    seconds: Range | None
    source: Source


@dataclass(frozen=True)
class WallClock:
    """The parts by name, the whole, and what to ask Slurm for.

    `segments` jobs of `request_s` each; None where time is unknown, or the limit too short for any progress.
    """

    parts: Mapping[str, Part]
    total: Range | None
    p95: float | None
    segments: int | None
    request_s: int | None
    checkpoint_interval: "CheckpointInterval | None"


@dataclass(frozen=True)
class CheckpointInterval:
    """The interval with the least expected loss, and the numbers it follows from.

    tau = sqrt(2 C (M + R)) - C, at least C: Daly 2006 (FGCS 22), Young 1974 without R and the last C.
    C seconds a checkpoint stops training, M mean seconds between interruptions, R seconds of a restart.
    """

    seconds: float
    steps: int
    write_s: float
    between_interruptions_s: float
    restart_s: float


def young_daly_s(write_s: float, between_interruptions_s: float, restart_s: float = 0.0) -> float:
    """The best interval between checkpoints in seconds; see `CheckpointInterval`.

    >>> round(young_daly_s(60, 21 * 86400) / 3600, 1)  # the planner's worked example: 4.1 h
    4.1
    """
    best = math.sqrt(2 * write_s * (between_interruptions_s + restart_s)) - write_s
    return max(best, write_s)


def wall_clock(
    workload: Workload,
    placement: Placement,
    steps: StepCount,
    throughput: Throughput,
    node_failures_per_1000_days: float | None = None,
) -> WallClock:
    """The wall-clock of `steps` steps, and how it fits the partition's limit."""
    startup = _once(workload.startup.time_s, STARTUP_S)
    write = _once(workload.checkpoint.time_s, CHECKPOINT_S)
    failures = _failure_rate(node_failures_per_1000_days)
    step = throughput.step_time_s
    if step is None:
        return _unknown(startup, throughput.source)

    training = step.scaled(steps.total)
    evaluation = _evaluation(workload, steps)
    limit = placement.limit_s
    interval = _interval(write.seconds, startup.seconds, failures.seconds, placement, step, training, limit)
    saves, save_text = _saves(workload, steps, interval)

    # Draws of everything but the restarts.
    training_s = training.draws(_TRAINING)
    startup_s = startup.seconds.draws(_STARTUP)
    evaluation_s = evaluation.drawn(training_s)
    checkpoint_s = [saves * x for x in write.seconds.draws(_CHECKPOINT)]
    undisturbed = [
        sum(parts) for parts in zip(startup_s, training_s, evaluation_s, checkpoint_s, strict=True)
    ]

    # One restart: startup again, and on average half of what was done since the last checkpoint.
    every_s = (training.p50 / saves) if saves else training.p50
    restart_s = [s + u * every_s for s, u in zip(startup_s, uniforms(_REWORK), strict=True)]
    per_second = placement.gpus / FAILURE_NODE_GPUS / 1000 / DAY_S
    failed = [
        poisson_quantile(rate * per_second * t, u)
        for rate, t, u in zip(
            failures.seconds.draws(_FAILURE_RATE), training_s, uniforms(_FAILURES), strict=True
        )
    ]

    def totals(segments: int) -> list[float]:
        extra = segments - 1
        return sorted(b + (n + extra) * r for b, n, r in zip(undisturbed, failed, restart_s, strict=True))

    segments = _segments(totals, limit)
    ordered = totals(segments or 1)
    restarts = Range.of_draws(((segments or 1) - 1 + n) * r for n, r in zip(failed, restart_s, strict=True))
    expected = sum(failed) / DRAWS
    parts = {
        "startup": Part(startup.seconds, startup.source),
        "training": Part(training, throughput.source),
        "evaluation": Part(Range.of_draws(evaluation_s), evaluation.source),
        "checkpoints": Part(
            write.seconds.scaled(saves),
            Source(
                write.source.kind if saves else SourceKind.GIVEN,
                f"{save_text}{write.source.text}" if saves else save_text,
            ),
        ),
        "restarts": Part(
            restarts,
            Source(
                failures.source.kind, f"{_restart_text(segments or 1, expected)} ({failures.source.text})"
            ),
        ),
    }
    p95 = quantile(ordered, 0.95)
    needed = p95 + GRACE_S
    return WallClock(
        parts=parts,
        total=Range(*(quantile(ordered, q) for q in (0.1, 0.5, 0.9))),
        p95=p95,
        segments=segments,
        request_s=_request_s(needed, limit, segments),
        checkpoint_interval=interval,
    )


def poisson_quantile(mean: float, u: float) -> int:
    """The smallest n that a Poisson count of this mean exceeds with probability at most 1 - u.

    >>> [poisson_quantile(0.5, u) for u in (0.5, 0.7, 0.95)]
    [0, 1, 2]
    """
    if mean > _MOST_EXACT_POISSON_MEAN:  # normal, with the mean as its variance
        from statistics import NormalDist

        return max(round(NormalDist(mean, math.sqrt(mean)).inv_cdf(u)), 0)
    n, term = 0, math.exp(-mean)
    below = term
    while below < u and term > 0:
        n += 1
        term *= mean / n
        below += term
    return n


@dataclass(frozen=True)
class _Known:
    seconds: Range
    source: Source


@dataclass(frozen=True)
class _Evaluation:
    source: Source
    seconds: float | None = None
    share: Range | None = None

    def drawn(self, training_s: list[float]) -> list[float]:
        if self.share is None:
            return [self.seconds or 0.0] * DRAWS
        return [t * x for t, x in zip(training_s, self.share.draws(_EVALUATION), strict=True)]


def _once(given_s: float | None, prior: Prior) -> _Known:
    if given_s is None:
        return _Known(prior.range, Source(SourceKind.PRIOR, prior.text))
    return _Known(Range.exactly(given_s), Source(SourceKind.GIVEN, f"{format_duration(given_s)} each"))


def _failure_rate(given: float | None) -> _Known:
    if given is None:
        return _Known(
            NODE_FAILURES_PER_1000_DAYS.range, Source(SourceKind.PRIOR, NODE_FAILURES_PER_1000_DAYS.text)
        )
    return _Known(Range.exactly(given), Source(SourceKind.GIVEN, f"profile: {given:g} in 1,000 node-days"))


def _evaluation(workload: Workload, steps: StepCount) -> _Evaluation:
    every, time_s = workload.evaluation.every_steps, workload.evaluation.time_s
    if every == 0:
        return _Evaluation(Source(SourceKind.GIVEN, "none: every_steps is 0"), seconds=0.0)
    if every is None:
        prior = EVALUATION_SHARE_UNSTATED
        return _Evaluation(Source(SourceKind.PRIOR, prior.text), share=prior.range)
    times = steps.total // every
    if not times:
        return _Evaluation(
            Source(SourceKind.GIVEN, f"none: every {every:,} steps, of {steps.total:,}"), seconds=0.0
        )
    if time_s is None:
        prior = EVALUATION_SHARE
        return _Evaluation(
            Source(SourceKind.PRIOR, f"{times:,} of unknown length; {prior.text}"), share=prior.range
        )
    return _Evaluation(
        Source(SourceKind.GIVEN, f"{times:,} of {format_duration(time_s)}"), seconds=times * time_s
    )


def _saves(workload: Workload, steps: StepCount, interval: CheckpointInterval) -> tuple[int, str]:
    """How many checkpoints, the final one included, and why."""
    every = workload.checkpoint.every_steps
    if every == 0:
        return 0, "none: every_steps is 0"
    if every is None:
        saves = cdiv(steps.total, interval.steps)
        when = f"every {interval.steps:,} steps, the best interval" if saves > 1 else "at the end"
        return saves, f"not stated; {saves:,} {when}; "
    saves = cdiv(steps.total, every)
    return saves, f"{saves:,} with the last; "


def _interval(
    write: Range,
    startup: Range,
    failures: Range,
    placement: Placement,
    step: Range,
    training: Range,
    limit: float | None,
) -> CheckpointInterval:
    per_second = failures.p50 * placement.gpus / FAILURE_NODE_GPUS / 1000 / DAY_S
    if limit is not None and training.p90 > limit:
        per_second += 1 / limit  # every time limit interrupts too
    between = 1 / per_second if per_second else math.inf
    best = (
        young_daly_s(write.p50, between, startup.p50) if between < math.inf else max(training.p50, write.p50)
    )
    steps = max(int(min(best / step.p50, 10**12)), 1) if step.p50 else 1
    return CheckpointInterval(best, steps, write.p50, between, startup.p50)


def _segments(totals: Callable[[int], list[float]], limit: float | None) -> int | None:
    """The fewest jobs under the limit whose walltimes hold P95 of the whole; None if none do."""
    if limit is None:
        return 1
    segments, usable = 1, limit - GRACE_S
    if usable <= 0:
        return None
    while segments <= _MOST_SEGMENTS:
        needed = math.ceil(quantile(totals(segments), 0.95) / usable)
        if needed <= segments:
            return segments
        segments = needed
    return None


def _request_s(needed: float, limit: float | None, segments: int | None) -> int | None:
    if segments is None:
        return None
    asked = round_up_walltime_s(needed)
    return asked if limit is None else min(asked, int(limit)) if segments == 1 else int(limit)


def _restart_text(segments: int, expected: float) -> str:
    planned = f"{segments - 1:,} at the time limit, " if segments > 1 else ""
    return f"{planned}{format_significant(expected, 2)} failures expected"


def _unknown(startup: _Known, source: Source) -> WallClock:
    nothing = Part(None, Source(SourceKind.UNKNOWN, "follows from the step time, which is unknown"))
    parts = {"startup": Part(startup.seconds, startup.source), "training": Part(None, source)}
    parts |= dict.fromkeys(("evaluation", "checkpoints", "restarts"), nothing)
    return WallClock(parts, None, None, None, None, None)
