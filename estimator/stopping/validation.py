"""What validations say: the best of them, how many since confirm that nothing improves, and whether they get worse."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from .curve import Point
from .trend import Interval, gain_until, latest_half, median, noise

CONFIRMATIONS = 3  # validations without an improvement, before a plateau is confirmed
_FEWEST_WORSE = 2  # validations after the best one, before it counts as overfitting
_FEWEST_OF_TREND = CONFIRMATIONS + 1
_DEVIATIONS = 3  # of the noise between validations: what is further away is no chance


@dataclass(frozen=True)
class Validations:
    """What the validations of one metric say, less being better.

    `best` is the best one.  `confirmations` counts the latest ones that together improve on those before by no more
    than the minimum gain; `confirmed_since` is the step of the one before, and `uncertainty` the standard error of
    their level.  `gain` is how much the rest of the training will improve it, None without a trend.  `is_rising` says
    that it got worse since the best one, beyond its noise; `are_all_worse` that at least three came since, each worse
    by the minimum gain.
    """

    best: Point
    confirmations: int
    confirmed_since: int
    uncertainty: float
    gain: Interval | None
    is_rising: bool
    are_all_worse: bool


def judge_validations(points: Sequence[Point], end: int, min_gain: float) -> Validations | None:
    """Judge validations, whose training ends at step `end`; `min_gain` is a share of the value.  None without any.

    >>> flat = [Point(100 * n, 2.0) for n in range(1, 9)]
    >>> judge_validations(flat, 1000, 0.01).confirmations
    7
    >>> judge_validations([Point(n, abs(n - 4) + 9.0) for n in range(9)], 10, 0.01).is_rising
    True
    """
    if not points:
        return None
    values = [point.value for point in points]
    best = min(points, key=lambda point: point.value)
    later = [point.value for point in points if point.step > best.step]
    confirmations = _confirmations(values, min_gain)
    recent = latest_half(points, _FEWEST_OF_TREND)
    return Validations(
        best=best,
        confirmations=confirmations,
        confirmed_since=points[len(points) - confirmations - 1].step,
        uncertainty=noise(values) / math.sqrt(max(confirmations, 1)),
        gain=gain_until(recent, end) if len(recent) >= _FEWEST_OF_TREND else None,
        is_rising=_is_rising(values, min_gain),
        are_all_worse=len(later) >= CONFIRMATIONS and min(later) > best.value + min_gain * abs(best.value),
    )


def _confirmations(values: Sequence[float], min_gain: float) -> int:
    """Return for how many of the latest values the best is not better than that of all before by `min_gain`."""
    best_after, count = float("inf"), 0
    best_before = list(accumulate(values, min))
    for i in range(len(values) - 1, 0, -1):
        best_after = min(best_after, values[i])
        before = best_before[i - 1]
        if best_after >= before - min_gain * abs(before):
            count = len(values) - i
    return count


def _is_rising(values: Sequence[float], min_gain: float) -> bool:
    """Whether the latest values are worse than the best level by more than the minimum gain, and by more than chance.

    Levels are medians of three: one lucky validation is no level.
    """
    since_best = len(values) - 1 - values.index(min(values))
    if since_best < _FEWEST_WORSE:
        return False
    levels = [median(values[max(i - 1, 0) : i + 2]) for i in range(len(values))]
    best = min(values) if since_best == _FEWEST_WORSE else min(levels)
    rise = median(values[-min(since_best, CONFIRMATIONS) :]) - best
    return rise > max(min_gain * abs(best), _DEVIATIONS * noise(values))
