"""What a run's GPUs did wrong, in plain words: pure detectors over their readings.

Each threshold is a named constant; docs/explanation/notes.md says why it is what it is.
"""

import statistics
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from ..cluster_profiles.units import format_duration, format_significant, listed
from .coverage import COVERAGE_SHARE, Break, early_end, missing, sampled_s
from .gpu_reading import Event, GpuReading
from .rollup import IDLE_PERCENT, THROTTLING, mean_power_w
from .sawtooth import sawtooth_lag

IDLE_LEAST_S = 30.0
STRAGGLER_SHARE = 0.8  # of the median of the run's GPUs, in utilisation and in power
HANG_PERCENT, HANG_POWER_SHARE, HANG_LEAST_S = 99.0, 0.25, 60.0
HEAD_ROOM_SHARE = 0.5  # of memory used at the peak
THROTTLED_SHARE = 0.05  # of the readings

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
    pauses: Sequence[Break] = ()  # between attempts


@dataclass(frozen=True)
class Note:
    """One thing to know; `code` is stable, `uuids` are the GPUs it is about."""

    code: str
    text: str
    uuids: tuple[str, ...]


@dataclass(frozen=True)
class _Digest:
    """What is left of one GPU once its readings, which may be many, have been looked at."""

    gpu: GpuSeries  # without rows
    lost: list[Note]
    idle: list[Note]
    stall: list[Note]
    others: list[Note]
    unused_s: float | None  # how long no process used it, if none ever did
    utilisation: float | None
    power_w: float | None
    memory_share: float | None


def notes(run: Iterable[GpuSeries]) -> list[Note]:
    """Everything there is to say of a run's GPUs, the worst first.  One GPU's readings are held at a time."""
    seen = [_digest(gpu) for gpu in run]
    unused = list(_without_process(seen))
    found = [note for part in (*(d.lost for d in seen), unused, *(d.idle for d in seen)) for note in part]
    found += [note for d in seen for note in d.stall]
    explained = {uuid for note in found for uuid in note.uuids}
    found += _stragglers([d for d in seen if d.gpu.uuid not in explained])
    return [*found, *(note for d in seen for note in d.others), *_head_room(seen)]


def _digest(gpu: GpuSeries) -> _Digest:
    values = utilisation(gpu)
    unused_s = _unused_s(gpu)
    peak = max((r.memory_used_bytes or 0 for _, r in gpu.rows), default=0)
    return _Digest(
        gpu=replace(gpu, rows=()),
        lost=list(_events(gpu)),
        idle=[] if unused_s is not None else _idle(gpu),
        stall=_stall(gpu, values),
        others=[*_hang(gpu), *_throttling(gpu), *_coverage(gpu)],
        unused_s=unused_s,
        utilisation=statistics.fmean(values) if values else None,
        power_w=mean_power_w(gpu.rows, [pause.began_s for pause in gpu.pauses]),
        memory_share=peak / gpu.memory_bytes if peak and gpu.memory_bytes else None,
    )


def node_notes(
    node: str, uuids: tuple[str, ...], events: Sequence[Event], last_s: float | None, ended_s: float | None
) -> Iterator[Note]:
    """What is to be said of a node and its sampler: a wrong clock, GPUs lost from the start, an end before the run's."""
    for event in events:
        if event.kind in ("clock_wrong", "clock_step"):
            yield Note("clock", f"{node}: {event.text}", uuids)
        if event.kind == "gpu_lost":  # before it could be sampled
            yield Note("gpu_lost", f"{node}: {event.text}; report it, and keep off that node", ())
    for text in early_end(node, events, last_s, ended_s):
        yield Note("coverage", text, uuids)


def utilisation(gpu: GpuSeries) -> list[float]:
    """Per cent in order: the driver's own samples where there are any, else one a reading."""
    ring = [float(percent) for _, reading in gpu.rows for _, percent in reading.ring]
    return ring or [float(r.utilisation_percent) for _, r in gpu.rows if r.utilisation_percent is not None]


def _busiest(reading: GpuReading) -> float | None:
    ring = [float(percent) for _, percent in reading.ring]
    polled = [] if reading.utilisation_percent is None else [float(reading.utilisation_percent)]
    return max(ring or polled, default=None)


def _events(gpu: GpuSeries) -> Iterator[Note]:
    start = gpu.first_s if gpu.first_s is not None or not gpu.rows else gpu.rows[0][0]
    for event in gpu.events:
        if event.kind in ("xid", "gpu_lost"):
            said = "lost" if event.kind == "gpu_lost" else event.text
            after = "" if start is None else f" after {format_duration(max(event.time_s - start, 0))}"
            yield Note(
                event.kind, f"{gpu.label}: {said}{after}; report it, and keep off that node", (gpu.uuid,)
            )


def _unused_s(gpu: GpuSeries) -> float | None:
    seen = [reading.processes for _, reading in gpu.rows if reading.processes is not None]
    if not seen or any(seen) or any((_busiest(r) or 0) > IDLE_PERCENT for _, r in gpu.rows):
        return None
    return _length(gpu)


def _without_process(run: Sequence[_Digest]) -> Iterator[Note]:
    unused = [(d.gpu, d.unused_s) for d in run if d.unused_s is not None]
    if not unused:
        return
    hours = _hours(sum(seconds for _, seconds in unused))
    which = listed((gpu.label for gpu, _ in unused), 4)
    if len(unused) == len(run):
        advice = f"the run used no GPU at all ({hours}); ask for none, or look at why it did not find them"
    else:
        advice = f"no process used {'it' if len(unused) == 1 else 'them'} at all ({hours}); ask for {len(unused)} fewer"
    yield Note("no-process", f"{which}: {advice}", tuple(gpu.uuid for gpu, _ in unused))


def _idle(gpu: GpuSeries) -> list[Note]:
    """Stretches in which not even one of the driver's samples was above `IDLE_PERCENT`."""
    known = [(t, busy <= IDLE_PERCENT) for t, r in gpu.rows if (busy := _busiest(r)) is not None]
    stretches = [(t, length) for t, length in _stretches(gpu, known) if length >= IDLE_LEAST_S]
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


def _stall(gpu: GpuSeries, series: Sequence[float]) -> list[Note]:
    """A saw-tooth: the series repeats itself, which flat work at any level does not."""
    lag = sawtooth_lag(series)
    if lag is None:
        return []
    apart_s = [after - before for (before, _), (after, _) in pairwise(gpu.rows)] or [gpu.period_s]
    step_s = statistics.median(apart_s) * len(gpu.rows) / len(series)  # whatever lies between two attempts
    half = (max(series) + min(series)) / 2
    low = sum(value < half for value in series) / len(series)
    text = (
        f"{gpu.label}: stalls every {format_significant(lag * step_s, 2)} s, and is down {low:.0%} of the time; the input "
        "may be too slow: more loader workers, faster storage, larger files"
    )
    return [Note("stall", text, (gpu.uuid,))]


def _stragglers(run: Sequence[_Digest]) -> Iterator[Note]:
    means = [d.utilisation for d in run if d.utilisation is not None]
    powers = [d.power_w for d in run if d.power_w is not None]
    if len(means) < 3:  # noqa: PLR2004  of two nobody can say which is the slow one
        return
    usual, usual_power = statistics.median(means), statistics.median(powers) if powers else 0.0
    for d in run:
        if d.utilisation is None or d.utilisation >= STRAGGLER_SHARE * usual:
            continue
        if d.power_w is not None and d.power_w >= STRAGGLER_SHARE * usual_power:
            continue
        text = (
            f"{d.gpu.label}: {d.utilisation:.0f} % busy where the others are {usual:.0f} %; check its node, its link and "
            "its data"
        )
        yield Note("straggler", text, (d.gpu.uuid,))


def _hang(gpu: GpuSeries) -> Iterator[Note]:
    if not gpu.power_limit_w:
        return
    bound_mw = HANG_POWER_SHARE * gpu.power_limit_w * 1000
    waits = (
        (
            time_s,
            (reading.utilisation_percent or 0) >= HANG_PERCENT
            and reading.power_mw is not None
            and reading.power_mw < bound_mw,
        )
        for time_s, reading in gpu.rows
    )
    longest = max((length for _, length in _stretches(gpu, waits)), default=0.0)
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
    lost = missing([time_s for time_s, _ in gpu.rows], gpu.period_s, gpu.pauses)
    whole = len(gpu.rows) + lost
    if whole and len(gpu.rows) / whole < COVERAGE_SHARE:
        yield Note("coverage", f"{gpu.label}: {lost:,} of {whole:,} samples are missing", (gpu.uuid,))


def _head_room(run: Sequence[_Digest]) -> Iterator[Note]:
    shares = [d.memory_share for d in run if d.memory_share is not None]
    if shares and max(shares) < HEAD_ROOM_SHARE and any(d.unused_s is None for d in run):
        text = (
            f"at most {max(shares):.0%} of the GPUs' memory was used: a larger micro-batch may fit, and may be faster "
            "(allocators cache, so try it)"
        )
        yield Note("head-room", text, tuple(d.gpu.uuid for d in run))


def _length(gpu: GpuSeries) -> float:
    return sampled_s(gpu.rows[0][0], gpu.rows[-1][0], gpu.pauses) + gpu.period_s if gpu.rows else 0.0


def _stretches(gpu: GpuSeries, known: Iterable[tuple[float, bool]]) -> Iterator[tuple[float, float]]:
    """When each stretch in which something held began, and how long its readings make it; none spans two attempts."""
    starts = [pause.began_s for pause in gpu.pauses]
    for (held, _), group in groupby(known, key=lambda item: (item[1], bisect_right(starts, item[0]))):
        times = [t for t, _ in group]
        if held:
            yield times[0], len(times) * gpu.period_s


def _hours(seconds: float) -> str:
    return f"{format_significant(seconds / 3600, 2)} GPU-hours"
