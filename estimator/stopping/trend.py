"""Robust trends: medians, the slope of Theil and Sen with its interval, and the gain that a trend promises."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .curve import Point

_Z90 = 1.645  # of the normal distribution: 90 % lie between -z and z
_MOST_BLOCKS = 40  # points of one slope: more are medians of blocks, so that a slope costs 780 pairs
_DEVIATION_OF_MAD = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Interval:
    """A value and its interval of 90 %."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Interval":
        """Return the interval in another unit; a negative factor turns it over.

        >>> Interval(2, 1, 4).times(-1)
        Interval(value=-2, low=-4, high=-1)
        """
        ends = sorted((self.low * factor + 0, self.high * factor + 0))  # -0.0 + 0 is 0.0
        return Interval(self.value * factor + 0, *ends)


def median(values: Sequence[float]) -> float:
    """Return the median; of an even number of values the mean of the two in the middle.

    >>> median([3, 1, 2, 10])
    2.5
    """
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation by the median of the absolute deviations, which outliers leave alone."""
    center = median(values)
    return _DEVIATION_OF_MAD * median([abs(value - center) for value in values])


def noise(values: Sequence[float]) -> float:
    """Return the standard deviation around a smooth curve, from second differences; 0 for fewer than 3 values.

    A second difference of independent noise has 6 times its variance, and a mean size of 0.80 of its deviation.  From n
    of them it is known to about 1 / sqrt(n), so the result is 1 + 2 / n times as large: rather too much.

    >>> noise([1, 2, 3, 4])
    0.0
    """
    bends = [abs(a - 2 * b + c) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    if not bends:
        return 0.0
    mean = sum(bends) / len(bends)
    return mean * math.sqrt(math.pi / 2) / math.sqrt(6) * (1 + 2 / len(bends))


def slope(xs: Sequence[float], ys: Sequence[float]) -> Interval | None:
    """Return the median of the slopes between all pairs, and its interval of 90 %; None without two different xs.

    The interval holds the slopes whose rank is within 1.645 standard deviations of Kendall's S, n (n-1) (2n+5) / 18
    (P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, 1968).  With few points it is the
    range of all slopes.

    >>> slope([0, 1, 2, 3, 4], [0, 2, 4, 100, 8]).value
    2.0
    """
    slopes = sorted(
        (ys[j] - ys[i]) / (xs[j] - xs[i])
        for i in range(len(xs))
        for j in range(i + 1, len(xs))
        if xs[j] > xs[i]
    )
    if not slopes:
        return None
    n = len(xs)
    spread = _Z90 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(round((len(slopes) - spread) / 2), 0)
    high = min(round((len(slopes) + spread) / 2), len(slopes) - 1)
    return Interval(median(slopes), slopes[low], slopes[high])


def blocks(points: Sequence[Point], most: int = _MOST_BLOCKS) -> list[Point]:
    """Return at most `most` points: medians of consecutive points, alike in number.

    >>> blocks([Point(1, 1.0), Point(2, 9.0), Point(3, 2.0), Point(4, 2.0)], most=2)
    [Point(step=1, value=5.0), Point(step=3, value=2.0)]
    """
    if len(points) <= most:
        return list(points)
    edges = [len(points) * i // most for i in range(most + 1)]
    parts = [points[low:high] for low, high in pairwise(edges)]
    return [Point(part[(len(part) - 1) // 2].step, median([p.value for p in part])) for part in parts]


def latest_half(points: Sequence[Point], fewest: int) -> Sequence[Point]:
    """Return the points of the latest half of the steps, but at least the `fewest` latest points.

    >>> [p.step for p in latest_half([Point(step, 0.0) for step in range(1, 9)], 3)]
    [4, 5, 6, 7, 8]
    """
    if not points:
        return points
    half = points[-1].step / 2
    first = next(i for i, point in enumerate(points) if point.step >= half)
    return points[max(min(first, len(points) - fewest), 0) :]


def gain_until(points: Sequence[Point], end: int) -> Interval | None:
    """Return by how much the value will fall until step `end`, if it goes on per doubling of the steps as it did.

    A loss that follows a power law of the steps falls less with each doubling, so this is rather too much.  It says
    nothing of a change of the learning rate.

    >>> round(gain_until([Point(100, 4.0), Point(200, 3.0), Point(400, 2.0)], 800).value, 3)
    1.0
    """
    usable = blocks([p for p in points if p.step > 0])
    if not usable:
        return None
    now = points[-1].step
    trend = slope([math.log2(p.step) for p in usable], [p.value for p in usable])
    return trend.times(-math.log2(max(end, now) / now)) if trend else None
