"""From values to places on a chart, and the values at which an axis has its ticks."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from ...cluster_profiles.units import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    format_count,
    format_duration,
    format_significant,
)

WIDE = 1000.0  # the width of every plot, in its own units
TALL = 180.0  # its height, in pixels

_TIMES_S = (
    *(1, 2, 5, 10, 20, 30, MINUTE_S, 2 * MINUTE_S, 5 * MINUTE_S, 10 * MINUTE_S, 20 * MINUTE_S, 30 * MINUTE_S),
    *(HOUR_S, 2 * HOUR_S, 4 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S),
    *(DAY_S, 2 * DAY_S, 5 * DAY_S, 10 * DAY_S, 20 * DAY_S, 50 * DAY_S, 100 * DAY_S),
)
_MOST_TICKS = 8
_HEAD_ROOM = 1.05


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, with labels at `ticks`; on a logarithmic axis both are above 0."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    is_logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return how far a value is along the axis: 0 at `low`, 1 at `high`."""
        if self.is_logarithmic:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def x(self, value: float) -> float:
        """Return the place of a value from the left, in units of the plot."""
        return min(max(self.share(value), 0.0), 1.0) * WIDE

    def y(self, value: float, tall: float = TALL) -> float:
        """Return the place of a value from the top, in pixels."""
        return (1 - min(max(self.share(value), 0.0), 1.0)) * tall


def value_axis(
    values: Iterable[float], unit: str = "", *, low: float | None = None, high: float | None = None
) -> Axis:
    """Return an axis for values; from 0, if they are not far from it or `low` says so.

    >>> [label for _, label in value_axis([120, 690], "W").ticks]
    ['0 W', '200 W', '400 W', '600 W']
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    least, most = min(finite), max(finite)
    if low is None:
        low = 0.0 if 0 <= least <= most / 2 or least == most >= 0 else least
    if high is None:
        high = most + (most - low) * (_HEAD_ROOM - 1)
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = _nice((high - low) / 4)
    first = math.ceil(low / step - 1e-9)
    numbers = [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return Axis(low, high, tuple((number, _label(number, unit)) for number in numbers))


def time_axis(seconds: float) -> Axis:
    """Return an axis of seconds from a start on.

    >>> [label for _, label in time_axis(7 * 86400).ticks]
    ['0', '1d', '2d', '3d', '4d', '5d', '6d', '7d']
    """
    seconds = max(seconds, 1e-3)
    step = _time_step(seconds)
    numbers = [number * step for number in range(math.floor(seconds / step + 1e-9) + 1)]
    return Axis(0.0, seconds, tuple((n, format_duration(n) if n else "0") for n in numbers))


def clock_axis(begin_s: float, end_s: float) -> Axis:
    """Return an axis of Unix times, with local times at its ticks: the date where a day begins.

    >>> [time_s for time_s, _ in clock_axis(1_800_000_010.0, 1_800_000_130.0).ticks][:2]
    [1800000020.0, 1800000040.0]
    """
    end_s = max(end_s, begin_s + 1.0)
    step = _time_step(end_s - begin_s)
    offset_s = _offset_s(begin_s)
    first = math.ceil((begin_s + offset_s) / step - 1e-9)
    last = math.floor((end_s + offset_s) / step + 1e-9)
    ticks = list[tuple[float, str]]()
    for number in range(first, last + 1):
        time_s = number * step - offset_s
        time_s += offset_s - _offset_s(time_s)  # a clock that was put forward in between
        moment = datetime.fromtimestamp(time_s).astimezone()
        clock = "%b %d" if moment.hour == moment.minute == 0 else "%H:%M:%S" if step < MINUTE_S else "%H:%M"
        if begin_s <= time_s <= end_s:
            ticks.append((time_s, f"{moment:{clock}}"))
    return Axis(begin_s, end_s, tuple(ticks))


def _offset_s(time_s: float) -> float:
    """Return by how much local time is ahead of UTC."""
    offset = datetime.fromtimestamp(time_s).astimezone().utcoffset()
    return offset.total_seconds() if offset else 0.0


def step_axis(first: float, last: float) -> Axis:
    """Return an axis of training steps.

    >>> [label for _, label in step_axis(0, 12000).ticks]
    ['0', '2,000', '4,000', '6,000', '8,000', '10,000', '12,000']
    """
    last = max(last, first + 1)
    step = max(_nice((last - first) / _MOST_TICKS), 1)
    numbers = range(math.ceil(first / step), math.floor(last / step) + 1)
    return Axis(first, last, tuple((n * step, f"{n * step:,.0f}") for n in numbers))


def doubling_axis(values: Iterable[float], name: Callable[[float], str] = format_count) -> Axis:
    """Return a logarithmic axis with a tick at each value, as for numbers of GPUs.

    >>> [label for _, label in doubling_axis([8, 16, 32]).ticks]
    ['8', '16', '32']
    """
    ordered = sorted(set(values))
    low, high = ordered[0] / 1.2, ordered[-1] * 1.2
    return Axis(low, high, tuple((value, name(value)) for value in ordered), is_logarithmic=True)


def _time_step(seconds: float) -> float:
    """Return the time between two ticks of an axis of so many seconds."""
    days = _nice(seconds / DAY_S / _MOST_TICKS) * DAY_S
    return next((each for each in _TIMES_S if seconds / each <= _MOST_TICKS), days)


def _nice(about: float) -> float:
    """Return the least of 1, 2 and 5 times a power of ten that is no less."""
    if about <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(about))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= about * (1 - 1e-9))


def _label(number: float, unit: str) -> str:
    shown = f"{number:,.0f}" if abs(number) >= 1000 else format_significant(number) if number else "0"  # noqa: PLR2004
    return f"{shown} {unit}".strip()
