"""The steady step time of a run, by rule, from what its training loop reported.

Left out are the first step of every loop (it compiles, allocates, and fills queues), marked pauses, and lines
longer than three times the median a step, which hold a pause that nobody marked.  The step time is then the
mean, because the sum of the steps is what a run takes.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .training_loop import LoopEnd, LoopLine, LoopPause, LoopStart, LoopSteps, steady_lines

LEAST_STEPS = 10  # fewer say little: a run that was killed before is no measurement
_OUTLIER = 3.0
_LEAST_LINES = 4  # that a spread is told from


@dataclass(frozen=True)
class SteadyState:
    """What a run's steps took; None is not known.

    `spread` is half the P10-P90 width over the lines, relative; pauses are medians.  `startup_s` is from the start
    of an attempt to the end of its first step, less one steady step.  `window` is the longest stretch of steady
    steps without a restart, in Unix time.
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
    """The steady state of a run, whose attempts began at `began_s`; None before ten steady steps.

    >>> first, steady = LoopSteps(9, 1, 1, 9, 9), [LoopSteps(9 + i, 1 + i, 1, 1, 1) for i in range(1, 13)]
    >>> found = steady_state([LoopStart(0, 0), first, *steady])
    >>> found.step_time_s, found.n_steps, found.window
    (1.0, 12, (9, 21))
    """
    steady = _without_outliers(steady_lines(lines))
    n_steps = sum(line.steps for line in steady)
    seconds = sum(line.seconds for line in steady)
    if n_steps < LEAST_STEPS or not seconds:
        return None
    step_time_s = seconds / n_steps
    waits = [(line.wait_s, line.seconds) for line in steady if line.wait_s is not None]
    waited_s = sum(seconds for _, seconds in waits)
    return SteadyState(
        step_time_s=step_time_s,
        spread=_spread(steady, step_time_s),
        n_steps=n_steps,
        data_wait_share=sum(wait for wait, _ in waits) / waited_s if waited_s else None,
        evaluation_s=_pause_s(lines, "evaluation"),
        checkpoint_s=_pause_s(lines, "checkpoint"),
        startup_s=_startup_s(lines, began_s or {}, step_time_s),
        restarts=max(len({line.attempt for line in lines if isinstance(line, LoopStart)}) - 1, 0),
        window=_window(lines, set(steady)),
    )


def _without_outliers(lines: list[LoopSteps]) -> list[LoopSteps]:
    if not lines:
        return []
    typical = _quantile([(line.seconds / line.steps, line.steps) for line in lines], 0.5)
    return [line for line in lines if line.seconds / line.steps <= _OUTLIER * typical]


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
    found = [line.seconds for line in lines if isinstance(line, LoopPause) and line.what == what]
    return statistics.median(found) if found else None


def _startup_s(lines: Sequence[LoopLine], began_s: Mapping[str, float], step_time_s: float) -> float | None:
    """The median over attempts of which both the beginning and the first step are known."""
    seen, found = set[str](), list[float]()
    for line, after in itertools.pairwise(lines):
        if not isinstance(line, LoopStart) or line.attempt in seen:
            continue
        seen.add(line.attempt)
        if isinstance(after, LoopSteps) and line.attempt in began_s:
            found.append(max(line.time_s - began_s[line.attempt] + after.seconds - step_time_s, 0.0))
    return statistics.median(found) if found else None


def _window(lines: Sequence[LoopLine], steady: set[LoopSteps]) -> tuple[float, float]:
    longest, begin = (0.0, 0.0), math.inf
    for line in lines:
        if isinstance(line, LoopStart | LoopEnd):
            begin = math.inf
        elif isinstance(line, LoopSteps) and line in steady:
            begin = min(begin, line.time_s - line.seconds)
            longest = max(longest, (begin, line.time_s), key=lambda w: w[1] - w[0])
    return longest
