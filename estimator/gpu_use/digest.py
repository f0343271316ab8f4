"""The digest of one GPU's readings, folded one after another: a run of months leaves a few numbers.

`detectors` makes notes of them.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .coverage import Break, count_missing, sampled_s
from .reading import Event, GpuReading
from .rollup import IDLE_PERCENT, MeanPower
from .utilisation import UtilisationCounts, median_of_counts, sawtooth_lag

IDLE_LEAST_S = 30.0
HANG_PERCENT, HANG_POWER_SHARE, HANG_LEAST_S = 99.0, 0.25, 60.0
WORK_POWER_SHARE = 0.5  # of its power limit: no GPU draws as much without work
HELD_BYTES = 2 * 10**9  # of memory in use: more than a driver reserves for itself, so somebody holds it


@dataclass(frozen=True)
class RunGpu:
    """One GPU of a run, and its events.

    `index` is the number that nvidia-smi shows on the node: "0", or "1:0" for a MIG instance.  `first_s` is the Unix
    time of its first reading, even if that reading is no longer kept.  `breaks` are its node's, between attempts.
    """

    uuid: str
    node: str
    index: str
    period_s: float = 1.0
    power_limit_w: float | None = None
    memory_bytes: int | None = None
    events: Sequence[Event] = ()
    first_s: float | None = None
    breaks: Sequence[Break] = ()


@dataclass
class Stretches:
    """The stretches of at least `least_s` in which a condition held; none spans two attempts.

    `first_after_s` is from the first reading to the first stretch.
    """

    period_s: float
    least_s: float
    number: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    first_after_s: float = 0.0
    _first_s: float | None = None
    _began_s: float = 0.0
    _attempt: int = 0
    _ticks: int = 0

    def add(self, time_s: float, attempt: int, *, holds: bool) -> None:
        """Take one more reading: its Unix time, its attempt, and whether the condition held."""
        if self._first_s is None:
            self._first_s = time_s
        if self._ticks and (not holds or attempt != self._attempt):
            self.end()
        if holds:
            if not self._ticks:
                self._began_s, self._attempt = time_s, attempt
            self._ticks += 1

    def end(self) -> None:
        """End the stretch, if one goes on."""
        length_s = self._ticks * self.period_s
        if self._ticks and length_s >= self.least_s:
            if not self.number:
                self.first_after_s = self._began_s - (self._first_s or 0.0)
            self.number += 1
            self.total_s += length_s
            self.longest_s = max(self.longest_s, length_s)
        self._ticks = 0


@dataclass
class GpuDigest:
    """The digest of one GPU's readings; None was never read."""

    gpu: RunGpu
    idle: Stretches
    hung: Stretches
    ticks: int = 0
    missing: int = 0
    first_s: float | None = None
    last_s: float | None = None
    memory_peak_bytes: int = 0
    max_processes: int | None = None
    worked: bool = False
    activity_known: bool = False  # by its utilisation or its SMs
    power: MeanPower = field(default_factory=MeanPower)
    clock_reasons: Counter[int] = field(default_factory=Counter)
    intervals_ms: Counter[int] = field(default_factory=Counter)  # between a reading and the next
    _ring: UtilisationCounts = field(default_factory=UtilisationCounts)
    _polled: UtilisationCounts = field(default_factory=UtilisationCounts)

    @property
    def utilisation(self) -> UtilisationCounts:
        """Return the driver's own samples if it gave any, otherwise one value per reading."""
        return self._ring if self._ring.counts else self._polled

    @property
    def length_s(self) -> float:
        """Return how long the GPU was sampled, without the time between attempts."""
        if self.first_s is None or self.last_s is None:
            return 0.0
        return sampled_s(self.first_s, self.last_s, self.gpu.breaks) + self.gpu.period_s

    @property
    def unused(self) -> bool:
        """Return whether its activity was read, and no reading showed a process, work, or memory that somebody holds.

        In a container or on a vGPU no process may be visible, and on a MIG instance no utilisation: a GPU is called
        unused only if everything that could be read agrees.
        """
        is_held = self.worked or self.memory_peak_bytes > HELD_BYTES
        return self.max_processes == 0 and self.activity_known and not is_held

    @property
    def memory_share(self) -> float | None:
        """Return the peak as a share of the GPU's memory."""
        peak, whole = self.memory_peak_bytes, self.gpu.memory_bytes
        return peak / whole if peak and whole else None

    @property
    def sawtooth(self) -> tuple[float, float] | None:
        """Return the period of a stall in seconds, and the share of the time below the middle; None without one."""
        counts = self.utilisation.counts
        lag = sawtooth_lag(self.utilisation.first)
        if lag is None:
            return None
        total = counts.total()
        interval_s = median_of_counts(self.intervals_ms) / 1000 if self.intervals_ms else self.gpu.period_s
        sample_s = interval_s * self.ticks / total  # whatever lies between two attempts
        middle = (max(counts) + min(counts)) / 2
        return lag * sample_s, sum(n for value, n in counts.items() if value < middle) / total

    def reason_share(self, bits: int) -> float:
        """Return the share of the readings with one of these clock event reasons."""
        ticks = self.clock_reasons.total()
        return sum(n for mask, n in self.clock_reasons.items() if mask & bits) / ticks if ticks else 0.0

    def add(self, time_s: float, reading: GpuReading, attempt: int) -> None:
        """Take the next reading, and the number of its attempt."""
        if self.last_s is None:
            self.first_s = time_s
        else:
            self.intervals_ms[round((time_s - self.last_s) * 1000)] += 1
            self.missing += count_missing(self.last_s, time_s, self.gpu.period_s, self.gpu.breaks)
        self.last_s = time_s
        self.ticks += 1
        self.memory_peak_bytes = max(self.memory_peak_bytes, reading.memory_used_bytes or 0)
        if reading.processes is not None:
            self.max_processes = max(self.max_processes or 0, reading.processes)
        if reading.clock_reasons is not None:
            self.clock_reasons[reading.clock_reasons] += 1
        self.power.add(time_s, reading, attempt)
        self._add_work(time_s, reading, attempt)

    def _add_work(self, time_s: float, reading: GpuReading, attempt: int) -> None:
        ring = [percent for _, percent in reading.ring]
        polled = [] if reading.utilisation_percent is None else [reading.utilisation_percent]
        self._ring.add(ring)
        self._polled.add(polled)
        activity = _activity_percent(reading)
        works = _draws_power(reading, self.gpu.power_limit_w) or (activity or 0.0) > IDLE_PERCENT
        self.worked |= works
        if activity is not None:
            self.activity_known = True
            self.idle.add(time_s, attempt, holds=not works)
        if limit_w := self.gpu.power_limit_w:
            power_mw, busy = reading.power_mw, (reading.utilisation_percent or 0) >= HANG_PERCENT
            hung = busy and power_mw is not None and power_mw < HANG_POWER_SHARE * limit_w * 1000
            self.hung.add(time_s, attempt, holds=hung)


def _activity_percent(reading: GpuReading) -> float | None:
    """Return the highest of the utilisation and the SMs' share of the time; None if neither was read."""
    levels = [float(percent) for _, percent in reading.ring]
    if not levels and reading.utilisation_percent is not None:
        levels.append(float(reading.utilisation_percent))
    if reading.sm_active is not None:
        levels.append(100 * reading.sm_active)
    return max(levels, default=None)


def _draws_power(reading: GpuReading, limit_w: float | None) -> bool:
    """Return whether the GPU draws more power than one that does nothing."""
    power_mw = reading.power_mw
    return bool(power_mw and limit_w and power_mw > WORK_POWER_SHARE * limit_w * 1000)


def digest(gpu: RunGpu, rows: Iterable[tuple[float, GpuReading]]) -> GpuDigest:
    """Fold the readings of a GPU, in order and with their Unix times; none of them is kept.

    >>> rows = ((time_s, GpuReading(0, utilisation_percent=50)) for time_s in (0.0, 1.0, 4.0))
    >>> folded = digest(RunGpu("GPU-0", "n1", "0"), rows)
    >>> folded.ticks, folded.missing, folded.length_s, folded.utilisation.mean
    (3, 2, 5.0, 50.0)
    """
    folded = GpuDigest(
        gpu,
        Stretches(gpu.period_s, IDLE_LEAST_S),
        Stretches(gpu.period_s, HANG_LEAST_S),
        power=MeanPower(gpu.power_limit_w),
    )
    began_ms = [round(pause.began_s * 1000) for pause in gpu.breaks]  # readings are kept to the millisecond
    for time_s, reading in rows:
        folded.add(time_s, reading, bisect_right(began_ms, round(time_s * 1000)) if began_ms else 0)
    folded.idle.end()
    folded.hung.end()
    return folded
