"""Statistics of one GPU's readings in a stretch of time: means, extremes, the ends of the energy counter.  Pure.

The columns are those of the registry (`Metric.rolled`).  Here are only the rules that one metric alone cannot give.
"""

import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .energy_counter import CounterReading, added_mj
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
    rows: Iterable[tuple[float, GpuReading]],
    width_s: int,
    starts_s: Sequence[float] = (),
    power_limit_w: float | None = None,
) -> list[Rollup]:
    """Return a rollup for each stretch of `width_s` seconds with a reading, in ascending order of time.

    `starts_s` are the times at which the samplers of the run began, but for the first: see `mean_power_w`.
    """
    stretches: dict[int, list[tuple[float, GpuReading]]] = {}
    for row in rows:
        stretches.setdefault(int(row[0] // width_s) * width_s, []).append(row)
    return [
        _rollup(time_s, width_s, stretch, mean_power_w(stretch, starts_s, power_limit_w))
        for time_s, stretch in sorted(stretches.items())
    ]


def _rollup(time_s: int, width_s: int, rows: _Rows, power_w: float | None) -> Rollup:
    utilisation = _utilisation(rows)
    values: dict[str, float | None] = {
        "power_mean_w": power_w,
        "power_max_w": max((mw / 1000 for mw in _numbers(rows, "power_mw")), default=None),
        **_counter_columns(rows),
    }
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


def _counter_columns(rows: _Rows) -> dict[str, float | None]:
    masks, counter = _numbers(rows, "clock_reasons"), _numbers(rows, "energy_mj")
    throttled = [bool(int(mask) & THROTTLING) for mask in masks]
    return {
        "throttled_share": statistics.fmean(throttled) if throttled else None,
        "energy_first_mj": counter[0] if counter else None,
        "energy_last_mj": counter[-1] if counter else None,
    }


def mean_power_w(
    rows: Iterable[tuple[float, GpuReading]],
    starts_s: Sequence[float] = (),
    power_limit_w: float | None = None,
) -> float | None:
    """Return the mean power in watts by `MeanPower`; rows are in ascending order of time.

    `starts_s` are the times at which the samplers of the run began, but for the first.

    >>> mean_power_w([(0.0, GpuReading(0, power_mw=700_000, energy_mj=0)), (10.0, GpuReading(0, energy_mj=4_000_000))])
    400.0
    """
    power = MeanPower(power_limit_w)
    starts_ms = [round(start_s * 1000) for start_s in starts_s]  # readings are kept to the millisecond
    for time_s, reading in rows:
        power.add(time_s, reading, bisect_right(starts_ms, round(time_s * 1000)) if starts_ms else 0)
    return power.mean_w


@dataclass
class MeanPower:
    """Mean power in watts: by the energy counter over the time in which it is known, otherwise the mean reading.

    Each sampler counts for itself: before it began, the GPU may have worked for another job.
    """

    power_limit_w: float | None = None
    _counted_mj: int = 0
    _counted_s: float = 0.0
    _sampler: int | None = None
    _since: CounterReading | None = None
    _polled_mw: int = 0
    _polled: int = 0

    def add(self, time_s: float, reading: GpuReading, sampler: int) -> None:
        """Take in the next reading, and the number of the sampler that made it."""
        if reading.power_mw is not None:
            self._polled_mw += reading.power_mw
            self._polled += 1
        if reading.energy_mj is None:
            return
        now = CounterReading(time_s, reading.energy_mj)
        if self._since is None or sampler != self._sampler:
            self._sampler, self._since = sampler, now
            return
        mj, since = added_mj(self._since, now, self.power_limit_w)
        if mj is not None:
            self._counted_mj += mj
            self._counted_s += time_s - self._since.time_s
        self._since = since

    @property
    def mean_w(self) -> float | None:
        """Return the mean power in watts; None if nothing was read."""
        if self._counted_s > 0:
            return self._counted_mj / 1000 / self._counted_s
        return self._polled_mw / 1000 / self._polled if self._polled else None
