"""Statistics of one GPU's readings in a stretch of time: means, extremes, the ends of the energy counter.  Pure.

The columns are those of the registry (`Metric.rolled`).  Here are only the rules that one metric alone cannot give.
"""

import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .reading import METRICS, GpuReading

# NVML's clock event reasons that cost speed: power cap, hardware slowdown, software thermal, hardware thermal,
# power brake.
THROTTLING = 0x0004 | 0x0008 | 0x0020 | 0x0040 | 0x0080
IDLE_PERCENT = 2.0  # no training step is short enough to leave a GPU below this
ALL_TIMES_S = 2**40  # as the width of a rollup: every reading is in one stretch

# Every column of a rollup, in the order of the registry.
COLUMNS = {column.column: column for metric in METRICS.values() for column in metric.rolled}

_MEASURES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "min": min,
    "max": max,
    "p50": statistics.median,
}

_Rows = Sequence[tuple[float, GpuReading]]


@dataclass(frozen=True)
class Rollup:
    """The readings of `width_s` seconds from `time_s` on; `values` has every column of `COLUMNS`.

    A value is None where nothing was read.  Utilisation is that of the driver's own samples where the driver keeps
    them, otherwise of the readings.  Mean power is that of the energy counter: a load that repeats with the sampling
    period does not mislead it, as it does single readings.
    """

    time_s: int
    width_s: int
    ticks: int
    utilisation_samples: int
    values: Mapping[str, float | None]


def roll_up(
    rows: Iterable[tuple[float, GpuReading]], width_s: int, starts_s: Sequence[float] = ()
) -> list[Rollup]:
    """Return a rollup for each stretch of `width_s` seconds with a reading, in ascending order of time.

    `starts_s` are the times at which the samplers of the run began, but for the first: see `mean_power_w`.
    """
    stretches: dict[int, list[tuple[float, GpuReading]]] = {}
    for row in rows:
        stretches.setdefault(int(row[0] // width_s) * width_s, []).append(row)
    return [_rollup(time_s, width_s, stretch, starts_s) for time_s, stretch in sorted(stretches.items())]


def _rollup(time_s: int, width_s: int, rows: _Rows, starts_s: Sequence[float]) -> Rollup:
    utilisation = _utilisation(rows)
    values: dict[str, float | None] = {**_power_columns(rows, starts_s), **_counter_columns(rows)}
    for name, metric in METRICS.items():
        for column in metric.rolled:
            if column.measure:
                numbers = utilisation if name == "utilisation_percent" else _numbers(rows, name)
                values[column.column] = _MEASURES[column.measure](numbers) if numbers else None
    return Rollup(time_s, width_s, len(rows), len(utilisation), values)


def _numbers(rows: _Rows, name: str) -> list[float]:
    return [value for _, reading in rows if (value := getattr(reading, name)) is not None]


def _utilisation(rows: _Rows) -> list[float]:
    ring = [float(percent) for _, reading in rows for _, percent in reading.ring]
    return ring or _numbers(rows, "utilisation_percent")


def _power_columns(rows: _Rows, starts_s: Sequence[float]) -> dict[str, float | None]:
    highest_mw = max(_numbers(rows, "power_mw"), default=None)
    return {
        "power_mean_w": mean_power_w(rows, starts_s),
        "power_max_w": None if highest_mw is None else highest_mw / 1000,
    }


def _counter_columns(rows: _Rows) -> dict[str, float | None]:
    masks, counter = _numbers(rows, "clock_reasons"), _numbers(rows, "energy_mj")
    throttled = [bool(int(mask) & THROTTLING) for mask in masks]
    return {
        "throttled_share": statistics.fmean(throttled) if throttled else None,
        "energy_first_mj": counter[0] if counter else None,
        "energy_last_mj": counter[-1] if counter else None,
    }


def mean_power_w(rows: Iterable[tuple[float, GpuReading]], starts_s: Sequence[float] = ()) -> float | None:
    """Return the mean power in watts by `MeanPower`; rows are in ascending order of time.

    `starts_s` are the times at which the samplers of the run began, but for the first.

    >>> mean_power_w([(0.0, GpuReading(0, power_mw=700_000, energy_mj=0)), (10.0, GpuReading(0, energy_mj=4_000_000))])
    400.0
    """
    power = MeanPower()
    starts_ms = [round(start_s * 1000) for start_s in starts_s]  # readings are kept to the millisecond
    for time_s, reading in rows:
        power.add(time_s, reading, bisect_right(starts_ms, round(time_s * 1000)) if starts_ms else 0)
    return power.mean_w


@dataclass
class MeanPower:
    """Mean power in watts: by the energy counter between the first and the last reading, otherwise the mean reading.

    Each sampler counts for itself: before it began, the GPU may have worked for another job.
    """

    _counted_mj: int = 0
    _counted_s: float = 0.0  # by the samplers before
    _sampler: int | None = None
    _began_s: float = 0.0
    _last_s: float = 0.0
    _last_mj: int = 0
    _polled_mw: int = 0
    _polled: int = 0

    def add(self, time_s: float, reading: GpuReading, sampler: int) -> None:
        """Take in the next reading, and the number of the sampler that made it."""
        if reading.power_mw is not None:
            self._polled_mw += reading.power_mw
            self._polled += 1
        now_mj = reading.energy_mj
        if now_mj is None:
            return
        if sampler == self._sampler:
            self._counted_mj += _used_mj(self._last_mj, now_mj)
        else:
            self._counted_s += self._last_s - self._began_s
            self._sampler, self._began_s = sampler, time_s
        self._last_s, self._last_mj = time_s, now_mj

    @property
    def mean_w(self) -> float | None:
        """Return the mean power in watts; None if nothing was read."""
        seconds = self._counted_s + (self._last_s - self._began_s)
        if seconds > 0:
            return self._counted_mj / 1000 / seconds
        return self._polled_mw / 1000 / self._polled if self._polled else None


def energy_mj(counter: Iterable[int | None]) -> int | None:
    """Return the millijoules between the first and the last reading of a counter; None if there was none.

    A counter that falls has been reset, and counts from 0 again.

    >>> energy_mj([1000, 5000, None, 6000, 0, 2000])
    7000
    """
    total, last = 0, None
    for now in counter:
        if now is None:
            continue
        if last is not None:
            total += _used_mj(last, now)
        last = now
    return None if last is None else total


def _used_mj(before: int, now: int) -> int:
    return now - before if now >= before else now
