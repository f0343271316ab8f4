"""The steady step time of a run, from the lines that its training loop reported.

Three things are left out: the first step of every loop, which compiles, allocates and fills queues; marked pauses; and
lines with more than three times the median seconds per step, which hold a pause that nobody marked.  The step time is
the mean of the rest, because a run takes the sum of its steps.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .clock_steps import length_s
from .training_loop import LoopEnd, LoopLine, LoopPause, LoopStart, LoopSteps, steady_lines

LEAST_STEPS = 10  # fewer say too little: a run that ended before is not a measurement
_OUTLIER = 3.0  # times the median
_LEAST_LINES = 4  # for a spread


@dataclass(frozen=True)
class SteadyState:
    """The steady steps of a run; None is not known.

    `spread` is half the width from P10 to P90 over the lines, relative to the mean.  The times of pauses are medians.
    `startup_s` is that of an attempt, see `startups_s`.  `window` is the
    longest stretch of steady steps without a restart, as two Unix times.
    """

    step_time_s: float
    spread: float | None
    n_steps: int
    data_wait_share: float | None
    evaluation_s: float | None
    checkpoint_s: float | None
    startup_s: float | None
    restarts: int
    window: tuple[float, float]


def steady_state(lines: Sequence[LoopLine], began_s: Mapping[str, float] | None = None) -> SteadyState | None:
    """Return the steady state of a run; None before `LEAST_STEPS` steady steps.

    `began_s` are the Unix times at which its attempts began, by their names.

    >>> first, steady = LoopSteps(9, 1, 1, 9, 9), [LoopSteps(9 + i, 1 + i, 1, 1, 1) for i in range(1, 13)]
    >>> state = steady_state([LoopStart(0, 0), first, *steady])
    >>> state.step_time_s, state.n_steps, state.window
    (1.0, 12, (9, 21))
    """
    steady = without_unmarked_pauses(steady_lines(lines))
    n_steps = sum(line.steps for line in steady)
    seconds = sum(line.seconds for line in steady)
    if n_steps < LEAST_STEPS or not seconds:
        return None
    step_time_s = seconds / n_steps
    waits = [(line.wait_s, line.seconds) for line in steady if line.wait_s is not None]
    observed_s = sum(seconds for _, seconds in waits)
    startups = startups_s(lines, began_s or {}, step_time_s)
    return SteadyState(
        step_time_s=step_time_s,
        spread=_spread(steady, step_time_s),
        n_steps=n_steps,
        data_wait_share=sum(wait for wait, _ in waits) / observed_s if observed_s else None,
        evaluation_s=_pause_s(lines, "evaluation"),
        checkpoint_s=_pause_s(lines, "checkpoint"),
        startup_s=statistics.median(startups) if startups else None,
        restarts=max(len({line.attempt for line in lines if isinstance(line, LoopStart)}) - 1, 0),
        window=_window(lines, set(steady)),
    )


def without_unmarked_pauses(lines: Sequence[LoopSteps]) -> list[LoopSteps]:
    """Return the lines whose seconds per step are at most three times the median: the others hold a pause.

    >>> steady = [LoopSteps(9 + i, 1 + i, 1, 1, 1) for i in range(1, 5)]
    >>> [line.step for line in without_unmarked_pauses([*steady, LoopSteps(53, 6, 1, 40, 40)])]
    [2, 3, 4, 5]
    """
    if not lines:
        return []
    typical = _quantile([(line.seconds / line.steps, line.steps) for line in lines], 0.5)
    return [line for line in lines if line.seconds / line.steps <= _OUTLIER * typical]


def step_time_error(lines: Sequence[LoopLine]) -> float | None:
    """Return how far the mean step time may still be off, as a share of it; None before it can be told.

    It is two standard errors of total seconds / total steps over the n lines of steady steps (a ratio estimate, Cochran,
    Sampling Techniques, 3rd ed., eq. 2.46: s^2 = sum (t_i - r k_i)^2 / (n - 1)), or half of the difference between its
    two halves where that is more: speed that still drifts is not known yet.

    >>> first, steady = LoopSteps(9, 1, 1, 9, 9), [LoopSteps(9 + i, 1 + i, 3, 3, 1) for i in range(1, 7)]
    >>> step_time_error([LoopStart(0, 0), first, *steady])
    0.0
    """
    steady = without_unmarked_pauses(steady_lines(lines))
    n, steps, seconds = len(steady), sum(line.steps for line in steady), sum(line.seconds for line in steady)
    if n < _LEAST_LINES or steps < LEAST_STEPS or not seconds:
        return None
    mean_s = seconds / steps
    squares = sum((line.seconds - mean_s * line.steps) ** 2 for line in steady)
    standard_error_s = math.sqrt(n / (n - 1) * squares) / steps
    before, after = (_mean_step_s(half) for half in (steady[: n // 2], steady[n // 2 :]))
    return max(2 * standard_error_s, abs(after - before) / 2) / mean_s


def _mean_step_s(lines: Sequence[LoopSteps]) -> float:
    return sum(line.seconds for line in lines) / sum(line.steps for line in lines)


def startups_s(lines: Sequence[LoopLine], began_s: Mapping[str, float], step_time_s: float) -> list[float]:
    """Return the seconds of each startup, of the attempts whose beginning and first line of steps are both known.

    A startup is from the beginning of an attempt to the end of that line, less the time that its steps take.
    """
    attempts, startups = set[str](), list[float]()
    for line, after in itertools.pairwise(lines):
        if not isinstance(line, LoopStart) or line.attempt in attempts:
            continue
        attempts.add(line.attempt)
        if isinstance(after, LoopSteps) and line.attempt in began_s:
            steps_s = after.steps * step_time_s
            if (before_s := length_s(began_s[line.attempt], line.time_s)) is not None:
                startups.append(max(before_s + after.seconds - steps_s, 0.0))
    return startups


def _spread(lines: Sequence[LoopSteps], step_time_s: float) -> float | None:
    if len(lines) < _LEAST_LINES:
        return None
    weighed = [(line.seconds / line.steps, line.steps) for line in lines]
    return (_quantile(weighed, 0.9) - _quantile(weighed, 0.1)) / 2 / step_time_s


def _quantile(weighed: Iterable[tuple[float, int]], q: float) -> float:
    """The least value that has a share `q` of the weight at or below it."""
    ordered = sorted(weighed)
    reached = list(itertools.accumulate(weight for _, weight in ordered))
    return next(value for (value, _), sum_ in zip(ordered, reached, strict=True) if sum_ >= q * reached[-1])


def _pause_s(lines: Sequence[LoopLine], what: str) -> float | None:
    pauses_s = [line.seconds for line in lines if isinstance(line, LoopPause) and line.what == what]
    return statistics.median(pauses_s) if pauses_s else None


def _window(lines: Sequence[LoopLine], steady: set[LoopSteps]) -> tuple[float, float]:
    longest, begin, before_s = (0.0, 0.0), math.inf, 0.0
    for line in lines:
        if isinstance(line, LoopStart | LoopEnd) or line.time_s < before_s:  # or a clock was set back
            begin = math.inf
        before_s = line.time_s
        if isinstance(line, LoopSteps) and line in steady:
            begin = min(begin, line.time_s - line.seconds)
            longest = max(longest, (begin, line.time_s), key=lambda w: w[1] - w[0])
    return longest
