"""What a run's GPUs did wrong, in plain words: pure detectors over their readings.

Each threshold is a named constant; docs/explanation/notes.md says why it is what it is.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from ..cluster_profiles.units import format_duration, format_significant
from .rollup import THROTTLING
from .runs import Event, GpuReading

IDLE_PERCENT = 2.0
IDLE_LEAST_S = 30.0
STRAGGLER_SHARE = 0.8  # of the median of the run's GPUs, in utilisation and in power
STALL_LEAST_DEVIATION = 3.0  # per cent; a flatter series has no saw-tooth
STALL_CORRELATION = 0.4
STALL_LIKE_HIGHEST = (
    0.9  # of the highest peak: every multiple of a period correlates, and the shortest is the period
)
STALL_LEAST_PERIODS = 5
STALL_SAMPLES, STALL_LONGEST_LAG = 3600, 400  # ten minutes of the driver's samples, periods up to a minute
HANG_PERCENT, HANG_POWER_SHARE, HANG_LEAST_S = 99.0, 0.25, 60.0
HEAD_ROOM_SHARE = 0.5  # of memory used at the peak
THROTTLED_SHARE = 0.05  # of the readings
COVERAGE_SHARE = 0.98  # of the samples that the period calls for

_REASONS = {
    0x0004: "power cap",
    0x0008: "hardware slowdown",
    0x0020: "thermal (software)",
    0x0040: "thermal (hardware)",
    0x0080: "power brake",
}


@dataclass(frozen=True)
class GpuSeries:
    """One GPU of a run, with its readings in order and its events; `label` is how people find it."""

    uuid: str
    label: str
    period_s: float
    power_limit_w: float | None
    memory_bytes: int | None
    rows: Sequence[tuple[float, GpuReading]]
    events: Sequence[Event] = ()
    first_s: float | None = None  # Unix time of the first reading, also once readings are forgotten


@dataclass(frozen=True)
class Note:
    """One thing to know; `code` is stable, `uuids` are the GPUs it is about."""

    code: str
    text: str
    uuids: tuple[str, ...]


def notes(run: Sequence[GpuSeries]) -> list[Note]:
    """Everything there is to say of a run's GPUs, the worst first."""
    lost = [note for gpu in run for note in _events(gpu)]
    idle = [note for gpu in run for note in (_without_process(gpu) or _idle(gpu))]
    stall = [note for gpu in run for note in _stall(gpu)]
    explained = {uuid for note in (*lost, *idle, *stall) for uuid in note.uuids}
    rest = [gpu for gpu in run if gpu.uuid not in explained]
    found = [*lost, *idle, *stall, *_stragglers(rest)]
    for gpu in run:
        found += [*_hang(gpu), *_throttling(gpu), *_coverage(gpu)]
    return [*found, *_head_room(run)]


def utilisation(gpu: GpuSeries) -> list[float]:
    """Per cent in order: the driver's own samples where there are any, else one a reading."""
    ring = [float(percent) for _, reading in gpu.rows for _, percent in reading.ring]
    return ring or [float(r.utilisation_percent) for _, r in gpu.rows if r.utilisation_percent is not None]


def _busiest(reading: GpuReading) -> float | None:
    ring = [float(percent) for _, percent in reading.ring]
    polled = [] if reading.utilisation_percent is None else [float(reading.utilisation_percent)]
    return max(ring or polled, default=None)


def _events(gpu: GpuSeries) -> Iterator[Note]:
    start = gpu.rows[0][0] if gpu.rows else gpu.first_s
    for event in gpu.events:
        if event.kind in ("xid", "gpu_lost"):
            said = "lost" if event.kind == "gpu_lost" else event.text
            after = "" if start is None else f" after {format_duration(max(event.time_s - start, 0))}"
            yield Note(
                event.kind, f"{gpu.label}: {said}{after}; report it, and keep off that node", (gpu.uuid,)
            )


def _without_process(gpu: GpuSeries) -> list[Note]:
    seen = [reading.processes for _, reading in gpu.rows if reading.processes is not None]
    if not seen or any(seen) or any((_busiest(r) or 0) > IDLE_PERCENT for _, r in gpu.rows):
        return []
    text = f"{gpu.label}: no process used it at all ({_hours(_length(gpu))}); ask for one GPU less"
    return [Note("no-process", text, (gpu.uuid,))]


def _idle(gpu: GpuSeries) -> list[Note]:
    """Stretches in which not even one of the driver's samples was above `IDLE_PERCENT`."""
    known = [(t, busy <= IDLE_PERCENT) for t, r in gpu.rows if (busy := _busiest(r)) is not None]
    stretches = []
    for quiet, group in groupby(known, key=lambda item: item[1]):
        times = [t for t, _ in group]
        length = times[-1] - times[0] + gpu.period_s
        if quiet and length >= IDLE_LEAST_S:
            stretches.append((times[0], length))
    if not stretches:
        return []
    total = sum(length for _, length in stretches)
    first = format_duration(stretches[0][0] - known[0][0])
    times_said = "once" if len(stretches) == 1 else f"{len(stretches)} times"
    text = (
        f"{gpu.label}: idle for {format_duration(total)} of {format_duration(_length(gpu))} ({times_said}, first after "
        f"{first}; {_hours(total)}); look at what it waits for"
    )
    return [Note("idle", text, (gpu.uuid,))]


def _stall(gpu: GpuSeries) -> list[Note]:
    """A saw-tooth: the series repeats itself, which flat work at any level does not."""
    series = utilisation(gpu)
    step_s = _length(gpu) / len(series) if series else 0.0
    lag = sawtooth_lag(series)
    if lag is None:
        return []
    half = (max(series) + min(series)) / 2
    low = sum(value < half for value in series) / len(series)
    text = (
        f"{gpu.label}: stalls every {format_significant(lag * step_s, 2)} s, and is down {low:.0%} of the time; the input "
        "may be too slow: more loader workers, faster storage, larger files"
    )
    return [Note("stall", text, (gpu.uuid,))]


def sawtooth_lag(series: Sequence[float]) -> int | None:
    """The period of a saw-tooth in samples, None if there is none.

    The autocorrelation of the series without its mean: the first peak after it has been negative, up to a fifth
    of the length, that is nearly as high as any other; it must be at least `STALL_CORRELATION`.

    >>> sawtooth_lag([90, 90, 90, 0, 0, 0] * 20)
    6
    """
    seen = series[:STALL_SAMPLES]
    if len(seen) < 2 * STALL_LEAST_PERIODS:
        return None
    mean = statistics.fmean(seen)
    centred = [value - mean for value in seen]
    power = sum(x * x for x in centred)
    if power < len(centred) * STALL_LEAST_DEVIATION**2:
        return None
    correlation = [
        sum(a * b for a, b in zip(centred, centred[lag:], strict=False))
        / power
        * len(centred)
        / (len(centred) - lag)
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


def _stragglers(run: Sequence[GpuSeries]) -> Iterator[Note]:
    means = {gpu.uuid: statistics.fmean(values) for gpu in run if (values := utilisation(gpu))}
    powers = {gpu.uuid: value for gpu in run if (value := _mean_power(gpu)) is not None}
    if len(means) < 3:  # noqa: PLR2004  of two nobody can say which is the slow one
        return
    usual, usual_power = (
        statistics.median(means.values()),
        statistics.median(powers.values()) if powers else 0.0,
    )
    for gpu in run:
        mean, power = means.get(gpu.uuid), powers.get(gpu.uuid)
        if mean is None or mean >= STRAGGLER_SHARE * usual:
            continue
        if power is not None and power >= STRAGGLER_SHARE * usual_power:
            continue
        text = f"{gpu.label}: {mean:.0f} % busy where the others are {usual:.0f} %; check its node, its link and its data"
        yield Note("straggler", text, (gpu.uuid,))


def _hang(gpu: GpuSeries) -> Iterator[Note]:
    if not gpu.power_limit_w:
        return
    bound_mw = HANG_POWER_SHARE * gpu.power_limit_w * 1000
    waits = [
        (reading.utilisation_percent or 0) >= HANG_PERCENT
        and reading.power_mw is not None
        and reading.power_mw < bound_mw
        for _, reading in gpu.rows
    ]
    longest = (
        max((len(list(group)) for waiting, group in groupby(waits) if waiting), default=0) * gpu.period_s
    )
    if longest >= HANG_LEAST_S:
        text = f"{gpu.label}: 100 % busy at idle power for {format_duration(longest)}; a collective may hang (NCCL)"
        yield Note("hang", text, (gpu.uuid,))


def _throttling(gpu: GpuSeries) -> Iterator[Note]:
    masks = [reading.clock_reasons for _, reading in gpu.rows if reading.clock_reasons is not None]
    if not masks or sum(bool(mask & THROTTLING) for mask in masks) / len(masks) < THROTTLED_SHARE:
        return
    shares = {name: sum(bool(mask & bit) for mask in masks) / len(masks) for bit, name in _REASONS.items()}
    said = ", ".join(
        f"{name} {share:.0%} of the time" for name, share in shares.items() if share >= THROTTLED_SHARE / 5
    )
    yield Note("throttled", f"{gpu.label}: slowed down: {said}", (gpu.uuid,))


def _coverage(gpu: GpuSeries) -> Iterator[Note]:
    if any(event.kind == "gpu_lost" for event in gpu.events):
        return  # said already
    missing = sum(max(round((b - a) / gpu.period_s) - 1, 0) for (a, _), (b, _) in pairwise(gpu.rows))
    whole = len(gpu.rows) + missing
    if whole and len(gpu.rows) / whole < COVERAGE_SHARE:
        yield Note("coverage", f"{gpu.label}: {missing:,} of {whole:,} samples are missing", (gpu.uuid,))


def _head_room(run: Sequence[GpuSeries]) -> Iterator[Note]:
    peaks = [max((r.memory_used_bytes or 0 for _, r in gpu.rows), default=0) for gpu in run]
    sizes = [gpu.memory_bytes or 0 for gpu in run]
    shares = [peak / size for peak, size in zip(peaks, sizes, strict=True) if peak and size]
    if shares and max(shares) < HEAD_ROOM_SHARE:
        text = (
            f"at most {max(shares):.0%} of the GPUs' memory was used: a larger micro-batch may fit, and may be faster "
            "(allocators cache, so try it)"
        )
        yield Note("head-room", text, tuple(gpu.uuid for gpu in run))


def _mean_power(gpu: GpuSeries) -> float | None:
    power = [reading.power_mw for _, reading in gpu.rows if reading.power_mw is not None]
    return statistics.fmean(power) / 1000 if power else None


def _length(gpu: GpuSeries) -> float:
    return gpu.rows[-1][0] - gpu.rows[0][0] + gpu.period_s if gpu.rows else 0.0


def _hours(seconds: float) -> str:
    return f"{format_significant(seconds / 3600, 2)} GPU-hours"
