"""The time until a run ends, from now: the steps left, the pauses to come, and the jobs that they need.

The parts are drawn together as in `estimate.walltime`, so P10 to P90 are percentiles of sums.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ..measurements.clock_steps import length_s
from ..measurements.training_loop import LoopLine, LoopStart, LoopSteps
from ..priors import STARTUP_S
from ..ranges import DRAWS, Range, uniforms
from .batch_growth import growth_of_step_time
from .jobs import JobLimits, further_jobs
from .pace import Pace, estimate_pace
from .pauses_to_come import ExpectedPauses, PausesToCome, find_pauses_to_come

# One stream of draws for each independent quantity; the kinds of pauses have those from `_PAUSES` on.
_PACE, _STARTUP, _WAIT, _PAUSES = range(4)


@dataclass(frozen=True)
class Expectation:
    """What was estimated before the run: step time, startup, pauses by kind, and its samples; None is not known."""

    step_s: Range | None = None
    startup_s: Range = STARTUP_S.range
    pauses: Mapping[str, ExpectedPauses] = field(default_factory=dict)
    samples: int | None = None


@dataclass(frozen=True)
class Start:
    """The start of the run that goes on now: its Unix time, and the step that it goes on from (None: not known)."""

    began_s: float
    step: int | None = None


@dataclass(frozen=True)
class TimeLeft:
    """The seconds until the run ends, and those of them that are `work` and not the change to another job.

    `beats_limit` is how likely it ends in the job that runs: the share of the draws that do; None without a limit.
    `further_jobs` are those that follow, at P50.
    """

    seconds: Range
    work: Range
    pace: Pace
    limits: JobLimits
    beats_limit: float | None = None
    further_jobs: int = 0


def estimate_time_left(
    lines: Sequence[LoopLine],
    total: int,
    now_s: float,
    *,
    start: Start | None = None,
    expectation: Expectation | None = None,
    limits: JobLimits | None = None,
) -> TimeLeft | None:
    """Return the time left of a run with so many steps in all, at `now_s` (Unix); None if its pace is not known.

    `start` is the one that runs, which may not have reached its first step.

    >>> lines = [LoopStart(0, 0), LoopSteps(9, 1, 1, 9, 9)]
    >>> lines += [LoopSteps(9 + 2 * i, 1 + i, 1, 2, 2) for i in range(1, 40)]
    >>> left = estimate_time_left(lines, total=100, now_s=9 + 2 * 39)
    >>> round(left.seconds.p50)
    120
    """
    expectation, limits = expectation or Expectation(), limits or JobLimits()
    pace = estimate_pace(lines, expectation.step_s)
    if pace is None:
        return None
    growth = growth_of_step_time(lines, total, expectation.samples)
    pace = replace(pace, step_s=pace.step_s.scaled(growth))
    step, startup_s, since_s = _position(lines, start, now_s)
    pauses = find_pauses_to_come(lines, step, total, expectation.pauses) if step < total else []
    done_s = min(since_s, _longest_silence_s(lines, step, pauses, pace))
    if not lines and startup_s is not None:  # it may train, and not tell
        done_s = max(startup_s - expectation.startup_s.p50, 0.0)
    work_s = _work_s(max(total - step, 0), pace, pauses, startup_s, expectation, done_s)
    lost_s = _lost_steps(lines) * pace.step_s.p50
    return _over_jobs(work_s, pace, expectation.startup_s, lost_s, limits)


def _position(
    lines: Sequence[LoopLine], start: Start | None, now_s: float
) -> tuple[int, float | None, float]:
    """The step reached, the seconds that the startup has taken (None: it is over), and those since the last line."""
    last = lines[-1] if lines else None
    if start and (last is None or last.time_s < start.began_s):
        reached = last.step if last else 0
        return (reached if start.step is None else start.step), length_s(start.began_s, now_s) or 0.0, 0.0
    if last is None:
        return 0, 0.0, 0.0
    if isinstance(last, LoopStart):
        return last.step, length_s(start.began_s if start else last.time_s, now_s) or 0.0, 0.0
    return last.step, None, length_s(last.time_s, now_s) or 0.0


def _longest_silence_s(
    lines: Sequence[LoopLine], step: int, pauses: Sequence[PausesToCome], pace: Pace
) -> float:
    """The seconds after the last line that count as work done: later the loop waits for something, and the end moves on."""
    recent = [line.steps for line in lines[-10:] if isinstance(line, LoopSteps)]
    steps = statistics.median(recent) if recent else 1
    due_s = (p.each_s.p50 for p in pauses if p.next_step is not None and p.next_step <= step + steps)
    return steps * pace.step_s.p50 + sum(due_s)


def _work_s(
    steps: int,
    pace: Pace,
    pauses: Sequence[PausesToCome],
    startup_s: float | None,
    expectation: Expectation,
    done_s: float,
) -> list[float]:
    """Draws of the seconds of work that are left, without limits."""
    work_s = [steps * step_s - done_s for step_s in pace.step_s.draws(_PACE)]
    for term, kind in enumerate(pauses, _PAUSES):
        # In doubt, none come in the lowest draws, and twice as many in the highest: once is a rate known to that factor.
        none, twice = 1 - kind.chance, max(kind.chance, 1 - kind.chance)
        draws = zip(work_s, kind.each_s.draws(term), uniforms(term), strict=True)
        work_s = [s + kind.number * each * ((u >= none) + (u >= twice)) for s, each, u in draws]
    if startup_s is not None:
        startups_s = expectation.startup_s.draws(_STARTUP)
        work_s = [s + max(t - startup_s, 0.0) for s, t in zip(work_s, startups_s, strict=True)]
    return [max(s, 0.0) for s in work_s]


def _lost_steps(lines: Sequence[LoopLine]) -> float:
    """The steps that a restart repeats, as those so far did in the mean; none before the first."""
    lost = [
        max(before.step - line.step, 0) for before, line in pairwise(lines) if isinstance(line, LoopStart)
    ]
    return statistics.fmean(lost) if lost else 0.0


def _over_jobs(
    work_s: Sequence[float], pace: Pace, startup_s: Range, lost_s: float, limits: JobLimits
) -> TimeLeft:
    """The work cut into jobs, if the run goes on after its limit; each further one repeats `lost_s` of work."""
    work = Range.of_draws(work_s)
    if limits.left_s == math.inf:
        return TimeLeft(work, work, pace, limits)
    beats_limit = sum(s <= limits.left_s for s in work_s) / DRAWS
    if not limits.goes_on or beats_limit == 1:
        return TimeLeft(work, work, pace, limits, beats_limit)
    seconds, jobs = list[float](), list[int]()
    draws = zip(work_s, startup_s.draws(_STARTUP), limits.wait_s.draws(_WAIT), strict=True)
    for each_s, startup, wait in draws:
        further = further_jobs(each_s, limits, startup + lost_s)
        jobs.append(further)
        seconds.append(each_s + further * (startup + wait + lost_s))
    return TimeLeft(Range.of_draws(seconds), work, pace, limits, beats_limit, round(statistics.median(jobs)))
