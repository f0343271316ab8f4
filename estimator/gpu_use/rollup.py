"""What a stretch of one GPU's readings comes to: means, extremes, the counter's ends.  Pure."""

import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .reading import GpuReading

# NVML's clock event reasons that cost speed: power cap, hardware slowdown, software thermal, hardware thermal,
# power brake.
THROTTLING = 0x0004 | 0x0008 | 0x0020 | 0x0040 | 0x0080
IDLE_PERCENT = 2.0  # no training step is as short as to leave a GPU below this


@dataclass(frozen=True)
class Rollup:
    """Readings of `width_s` seconds from `time_s` on; a mean of values that were never read is None.

    Utilisation is that of the driver's own samples where there are any, else of the readings; mean power is that
    of the energy counter, which a wave in step with the period does not deceive as it does single readings.
    """

    time_s: int
    width_s: int
    ticks: int
    utilisation_samples: int
    utilisation_mean: float | None
    utilisation_min: float | None
    utilisation_max: float | None
    utilisation_p50: float | None
    memory_utilisation_mean: float | None
    memory_peak_bytes: int | None
    power_mean_w: float | None
    power_max_w: float | None
    temperature_max_c: int | None
    sm_clock_mean_mhz: float | None
    sm_active_mean: float | None
    occupancy_mean: float | None
    tensor_active_mean: float | None
    dram_active_mean: float | None
    throttled_share: float | None
    energy_first_mj: int | None
    energy_last_mj: int | None


def roll_up(
    rows: Iterable[tuple[float, GpuReading]], width_s: int, starts_s: Sequence[float] = ()
) -> list[Rollup]:
    """One rollup for each stretch of `width_s` seconds in which there is a reading, in ascending order.

    `starts_s` is when samplers began: see `mean_power_w`.
    """
    stretches: dict[int, list[tuple[float, GpuReading]]] = {}
    for row in rows:
        stretches.setdefault(int(row[0] // width_s) * width_s, []).append(row)
    return [_rollup(time_s, width_s, stretch, starts_s) for time_s, stretch in sorted(stretches.items())]


def _rollup(
    time_s: int, width_s: int, rows: Sequence[tuple[float, GpuReading]], starts_s: Sequence[float]
) -> Rollup:
    readings = [reading for _, reading in rows]

    def known(name: str) -> list[float]:
        return [value for reading in readings if (value := getattr(reading, name)) is not None]

    ring = [float(percent) for reading in readings for _, percent in reading.ring]
    utilisation = ring or known("utilisation_percent")
    power = [mw / 1000 for mw in known("power_mw")]
    energy, reasons = known("energy_mj"), known("clock_reasons")
    memory, heat = known("memory_used_bytes"), known("temperature_c")
    return Rollup(
        time_s=time_s,
        width_s=width_s,
        ticks=len(readings),
        utilisation_samples=len(utilisation),
        utilisation_mean=_of(statistics.fmean, utilisation),
        utilisation_min=_of(min, utilisation),
        utilisation_max=_of(max, utilisation),
        utilisation_p50=_of(statistics.median, utilisation),
        memory_utilisation_mean=_of(statistics.fmean, known("memory_utilisation_percent")),
        memory_peak_bytes=int(max(memory)) if memory else None,
        power_mean_w=mean_power_w(rows, starts_s),
        power_max_w=_of(max, power),
        temperature_max_c=int(max(heat)) if heat else None,
        sm_clock_mean_mhz=_of(statistics.fmean, known("sm_clock_mhz")),
        sm_active_mean=_of(statistics.fmean, known("sm_active")),
        occupancy_mean=_of(statistics.fmean, known("occupancy")),
        tensor_active_mean=_of(statistics.fmean, known("tensor_active")),
        dram_active_mean=_of(statistics.fmean, known("dram_active")),
        throttled_share=_of(statistics.fmean, [float(bool(int(mask) & THROTTLING)) for mask in reasons]),
        energy_first_mj=int(energy[0]) if energy else None,
        energy_last_mj=int(energy[-1]) if energy else None,
    )


def _of(measure: Callable[[list[float]], float], values: list[float]) -> float | None:
    return measure(values) if values else None


def mean_power_w(rows: Iterable[tuple[float, GpuReading]], starts_s: Sequence[float] = ()) -> float | None:
    """The `MeanPower` of rows, of samplers that began in turn at `starts_s`, in ascending order.

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
    """Watts by the energy counter between the first and the last of the readings, else the mean of what they say.

    Each sampler counts by itself: before it began the GPU may have been another's.
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
        """The next reading, and the number of the sampler that made it."""
        if reading.power_mw is not None:
            self._polled_mw += reading.power_mw
            self._polled += 1
        now_mj = reading.energy_mj
        if now_mj is None:
            return
        if sampler == self._sampler:
            self._counted_mj += _taken_mj(self._last_mj, now_mj)
        else:
            self._counted_s += self._last_s - self._began_s
            self._sampler, self._began_s = sampler, time_s
        self._last_s, self._last_mj = time_s, now_mj

    @property
    def mean_w(self) -> float | None:
        """None if nothing was read."""
        seconds = self._counted_s + (self._last_s - self._began_s)
        if seconds > 0:
            return self._counted_mj / 1000 / seconds
        return self._polled_mw / 1000 / self._polled if self._polled else None


def energy_mj(counter: Iterable[int | None]) -> int | None:
    """Millijoules between the first and the last reading of a counter; None if there was none.

    A counter that falls has been reset; what it shows after the reset counts from there.

    >>> energy_mj([1000, 5000, None, 6000, 0, 2000])
    7000
    """
    total, last = 0, None
    for now in counter:
        if now is None:
            continue
        if last is not None:
            total += _taken_mj(last, now)
        last = now
    return None if last is None else total


def _taken_mj(before: int, now: int) -> int:
    return now - before if now >= before else now
