"""What one GPU's readings come to, folded one after another: of a run of months, a few numbers stay.

What is made of them, in words, is in `notes`.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from .coverage import Break, missing_between, sampled_s
from .periodicity import STALL_SAMPLES
from .reading import Event, GpuReading
from .rollup import IDLE_PERCENT, MeanPower

IDLE_LEAST_S = 30.0
HANG_PERCENT, HANG_POWER_SHARE, HANG_LEAST_S = 99.0, 0.25, 60.0


@dataclass(frozen=True)
class WatchedGpu:
    """One GPU of a run, and its events; `label` is how people find it."""

    uuid: str
    label: str
    period_s: float
    power_limit_w: float | None
    memory_bytes: int | None
    events: Sequence[Event] = ()
    first_s: float | None = None  # Unix time of the first reading, also once readings are forgotten
    pauses: Sequence[Break] = ()  # between attempts


@dataclass
class Stretches:
    """How long something held: its stretches of at least `least_s`, none of which spans two attempts."""

    period_s: float
    least_s: float
    number: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    first_after_s: float = 0.0  # since it was first looked at
    _looked_s: float | None = None
    _began_s: float = 0.0
    _attempt: int = 0
    _ticks: int = 0

    def add(self, time_s: float, attempt: int, *, held: bool) -> None:
        """One more reading."""
        if self._looked_s is None:
            self._looked_s = time_s
        if self._ticks and (not held or attempt != self._attempt):
            self.end()
        if held:
            if not self._ticks:
                self._began_s, self._attempt = time_s, attempt
            self._ticks += 1

    def end(self) -> None:
        """No more readings, or none that go on with this stretch."""
        length_s = self._ticks * self.period_s
        if self._ticks and length_s >= self.least_s:
            if not self.number:
                self.first_after_s = self._began_s - (self._looked_s or 0.0)
            self.number += 1
            self.total_s += length_s
            self.longest_s = max(self.longest_s, length_s)
        self._ticks = 0


@dataclass
class Percents:
    """Utilisation: how often each per cent was there, and in order those that a saw-tooth is looked for in."""

    counts: Counter[int] = field(default_factory=Counter)
    first: list[int] = field(default_factory=list)

    def add(self, values: Sequence[int]) -> None:
        """The next of them."""
        self.counts.update(values)
        if len(self.first) < STALL_SAMPLES:
            self.first += values

    @property
    def mean(self) -> float | None:
        total = self.counts.total()
        return sum(value * n for value, n in self.counts.items()) / total if total else None


@dataclass
class GpuDigest:
    """What is left of one GPU's readings; None was never read."""

    gpu: WatchedGpu
    idle: Stretches
    hung: Stretches
    ticks: int = 0
    missing: int = 0
    first_s: float | None = None
    last_s: float | None = None
    memory_peak_bytes: int = 0
    most_processes: int | None = None
    worked: bool = False
    power: MeanPower = field(default_factory=MeanPower)
    clock_reasons: Counter[int] = field(default_factory=Counter)
    apart_ms: Counter[int] = field(default_factory=Counter)  # between a reading and the next
    _ring: Percents = field(default_factory=Percents)
    _polled: Percents = field(default_factory=Percents)

    @property
    def percents(self) -> Percents:
        """The driver's own samples where there are any, else one a reading."""
        return self._ring if self._ring.counts else self._polled

    @property
    def length_s(self) -> float:
        """How long it was sampled, without the time between attempts."""
        if self.first_s is None or self.last_s is None:
            return 0.0
        return sampled_s(self.first_s, self.last_s, self.gpu.pauses) + self.gpu.period_s

    @property
    def unused(self) -> bool:
        """Whether no process was ever seen on it, and it never worked."""
        return self.most_processes == 0 and not self.worked

    @property
    def memory_share(self) -> float | None:
        peak, whole = self.memory_peak_bytes, self.gpu.memory_bytes
        return peak / whole if peak and whole else None

    def add(self, time_s: float, reading: GpuReading, attempt: int) -> None:
        """The next reading, and the number of the attempt that it was made in."""
        if self.last_s is None:
            self.first_s = time_s
        else:
            self.apart_ms[round((time_s - self.last_s) * 1000)] += 1
            self.missing += missing_between(self.last_s, time_s, self.gpu.period_s, self.gpu.pauses)
        self.last_s = time_s
        self.ticks += 1
        self.memory_peak_bytes = max(self.memory_peak_bytes, reading.memory_used_bytes or 0)
        if reading.processes is not None:
            self.most_processes = max(self.most_processes or 0, reading.processes)
        if reading.clock_reasons is not None:
            self.clock_reasons[reading.clock_reasons] += 1
        self.power.add(time_s, reading, attempt)
        self._add_work(time_s, reading, attempt)

    def _add_work(self, time_s: float, reading: GpuReading, attempt: int) -> None:
        ring = [percent for _, percent in reading.ring]
        polled = [] if reading.utilisation_percent is None else [reading.utilisation_percent]
        self._ring.add(ring)
        self._polled.add(polled)
        busiest = max(ring or polled, default=None)
        if busiest is not None:
            self.worked |= busiest > IDLE_PERCENT
            self.idle.add(time_s, attempt, held=busiest <= IDLE_PERCENT)
        if limit_w := self.gpu.power_limit_w:
            power_mw, busy = reading.power_mw, (reading.utilisation_percent or 0) >= HANG_PERCENT
            waits = busy and power_mw is not None and power_mw < HANG_POWER_SHARE * limit_w * 1000
            self.hung.add(time_s, attempt, held=waits)


def digest(gpu: WatchedGpu, rows: Iterable[tuple[float, GpuReading]]) -> GpuDigest:
    """The readings of a GPU, in order and with their Unix times, folded: none of them is kept.

    >>> gpu = WatchedGpu("GPU-0", "n1 GPU 0", 1.0, None, None)
    >>> found = digest(gpu, ((time_s, GpuReading(0, utilisation_percent=50)) for time_s in (0.0, 1.0, 4.0)))
    >>> found.ticks, found.missing, found.length_s, found.percents.mean
    (3, 2, 5.0, 50.0)
    """
    found = GpuDigest(gpu, Stretches(gpu.period_s, IDLE_LEAST_S), Stretches(gpu.period_s, HANG_LEAST_S))
    began_ms = [round(pause.began_s * 1000) for pause in gpu.pauses]  # readings are kept to the millisecond
    for time_s, reading in rows:
        found.add(time_s, reading, bisect_right(began_ms, round(time_s * 1000)) if began_ms else 0)
    found.idle.end()
    found.hung.end()
    return found


def median_of(counts: Counter[int]) -> float:
    """The median of numbers that are known by how often each was there.

    >>> median_of(Counter({1: 2, 4: 1, 9: 1})), median_of(Counter({1: 1, 4: 1, 9: 1}))
    (2.5, 4.0)
    """
    values = sorted(counts)
    up_to = list(accumulate(counts[value] for value in values))
    middle = [values[bisect_right(up_to, place)] for place in ((up_to[-1] - 1) // 2, up_to[-1] // 2)]
    return sum(middle) / 2
