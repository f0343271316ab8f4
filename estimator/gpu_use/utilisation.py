"""One GPU's utilisation over time: how often each value was read, its means along the run, and its period.  Pure."""

import statistics
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import mul

from .metrics import weighted_mean
from .reading import GpuReading

TIMELINE_POINTS = 40  # at most, of a GPU's utilisation over the run
STALL_LEAST_DEVIATION = 3.0  # per cent; a flatter series has no saw-tooth
STALL_CORRELATION = 0.4
STALL_LIKE_HIGHEST = (
    0.9  # of the highest peak: each multiple of the period has a peak, and the period is the first
)
STALL_LEAST_PERIODS = 5
STALL_SAMPLES, STALL_LONGEST_LAG = 3600, 400  # ten minutes of the driver's samples, periods up to a minute


@dataclass
class UtilisationCounts:
    """Utilisation: how often each per cent was read, and the first values in order, to look for a saw-tooth in."""

    counts: Counter[int] = field(default_factory=Counter)
    first: list[int] = field(default_factory=list)

    def add(self, values: Sequence[int]) -> None:
        """Take the next values, in per cent."""
        self.counts.update(values)
        if len(self.first) < STALL_SAMPLES:
            self.first += values

    @property
    def mean(self) -> float | None:
        """Return the mean in per cent; None if nothing was read."""
        return weighted_mean(self.counts.items())


class Timeline:
    """The means of values over equal parts of the time from `first_s` to `last_s`; the values are `step_s` apart.

    There are `TIMELINE_POINTS` parts, or fewer so that each has two values.

    >>> timeline = Timeline(0, 3, 1.0)
    >>> for time_s, value in [(0, 10), (1, 20), (2, 30), (3, 40)]:
    ...     timeline.add(time_s, value)
    >>> timeline.means
    (15.0, 35.0)
    """

    def __init__(self, first_s: float, last_s: float, step_s: float) -> None:
        number, self._width_s = divide_timeline(first_s, last_s, step_s)
        self._first_s = first_s
        self._sums, self._counts = [0.0] * number, [0] * number

    def add(self, time_s: float, value: float) -> None:
        """Take one more value."""
        part = min(max(int((time_s - self._first_s) / self._width_s), 0), len(self._sums) - 1)
        self._sums[part] += value
        self._counts[part] += 1

    def add_passing(self, rows: Iterable[tuple[float, GpuReading]]) -> Iterator[tuple[float, GpuReading]]:
        """Yield the readings unchanged, and take the utilisation of each: the driver's own samples, or its answer."""
        for time_s, reading in rows:
            samples = [(percent, 1) for _, percent in reading.ring]
            mean = weighted_mean(samples or [(reading.utilisation_percent, 1)])
            if mean is not None:
                self.add(time_s, mean)
            yield time_s, reading

    @property
    def means(self) -> tuple[float | None, ...]:
        """Return the mean of each part; None for a part without a value."""
        return tuple(
            total / count if count else None for total, count in zip(self._sums, self._counts, strict=True)
        )


def divide_timeline(first_s: float, last_s: float, step_s: float) -> tuple[int, float]:
    """Return the number of the parts of a timeline, and the seconds of each.

    >>> divide_timeline(0.0, 3600.0, 60.0)
    (30, 120.0)
    """
    number = min(max(int(((last_s - first_s) / step_s + 1) / 2), 1), TIMELINE_POINTS)
    return number, max(last_s - first_s, 1e-9) / number


def sawtooth_lag(series: Sequence[float]) -> int | None:
    """Return the period of a saw-tooth in samples, None if there is none.

    It is the place of a peak in the autocorrelation of the series without its mean: the first one behind a negative
    value, up to a fifth of the length, that is nearly as high as any other and at least `STALL_CORRELATION`.

    >>> sawtooth_lag([90, 90, 90, 0, 0, 0] * 20)
    6
    """
    values = series[:STALL_SAMPLES]
    if len(values) < 2 * STALL_LEAST_PERIODS:
        return None
    mean = statistics.fmean(values)
    centred = [value - mean for value in values]
    power = sum(x * x for x in centred)
    if power < len(centred) * STALL_LEAST_DEVIATION**2:
        return None
    correlation = [
        sum(map(mul, centred, centred[lag:])) / power * len(centred) / (len(centred) - lag)
        for lag in range(min(len(centred) // STALL_LEAST_PERIODS, STALL_LONGEST_LAG) + 1)
    ]
    negative = next((lag for lag, value in enumerate(correlation) if value < 0), None)
    if negative is None or negative >= len(correlation) - 1:
        return None
    highest = max(correlation[negative:])
    if highest < STALL_CORRELATION:
        return None
    return next(
        lag
        for lag in range(negative, len(correlation))
        if correlation[lag] >= STALL_LIKE_HIGHEST * highest
        and (lag + 1 == len(correlation) or correlation[lag] >= correlation[lag + 1])
    )


def median_of_counts(counts: Counter[int]) -> float:
    """Return the median of numbers, from how often each was counted.

    >>> median_of_counts(Counter({1: 2, 4: 1, 9: 1})), median_of_counts(Counter({1: 1, 4: 1, 9: 1}))
    (2.5, 4.0)
    """
    values = sorted(counts)
    up_to = list(accumulate(counts[value] for value in values))
    middle = [values[bisect_right(up_to, place)] for place in ((up_to[-1] - 1) // 2, up_to[-1] // 2)]
    return sum(middle) / 2
