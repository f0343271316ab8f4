"""A GPU's utilisation over the time of its run, in a few equal parts."""

from collections.abc import Iterable, Iterator

from .reading import GpuReading

TIMELINE_POINTS = 40  # at most, of a GPU's utilisation over the run


class Timeline:
    """The mean of values that are `step_s` apart, in equal parts of the time between two.

    There are `TIMELINE_POINTS` parts, or fewer so that each has two values.

    >>> course = Timeline(0, 3, 1.0)
    >>> for time_s, value in [(0, 10), (1, 20), (2, 30), (3, 40)]:
    ...     course.add(time_s, value)
    >>> course.means
    (15.0, 35.0)
    """

    def __init__(self, first: float, last: float, step_s: float) -> None:
        number = min(max(int(((last - first) / step_s + 1) / 2), 1), TIMELINE_POINTS)
        self._first, self._width = first, max(last - first, 1e-9) / number
        self._sums, self._counts = [0.0] * number, [0] * number

    def add(self, time_s: float, value: float) -> None:
        """One more value."""
        part = min(max(int((time_s - self._first) / self._width), 0), len(self._sums) - 1)
        self._sums[part] += value
        self._counts[part] += 1

    def along(self, rows: Iterable[tuple[float, GpuReading]]) -> Iterator[tuple[float, GpuReading]]:
        """The same readings, each added as it goes by: by the driver's own samples, else by what was polled."""
        for time_s, reading in rows:
            values = [percent for _, percent in reading.ring]
            if not values and reading.utilisation_percent is not None:
                values = [reading.utilisation_percent]
            if values:
                self.add(time_s, sum(values) / len(values))
            yield time_s, reading

    @property
    def means(self) -> tuple[float | None, ...]:
        """Of each part; None where there was none."""
        return tuple(
            total / count if count else None for total, count in zip(self._sums, self._counts, strict=True)
        )
