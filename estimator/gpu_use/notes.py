"""What a run's GPUs did wrong, in plain words: pure detectors over what their readings come to.

Each threshold is a named constant, here or in `digest`; docs/explanation/notes.md says why it is what it is.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...cluster_profiles.units import format_duration, format_significant, join_names
from .coverage import COVERAGE_SHARE, early_end
from .digest import GpuDigest, median_of
from .periodicity import sawtooth_lag
from .reading import Event
from .rollup import THROTTLING

STRAGGLER_SHARE = 0.8  # of the median of the run's GPUs, in utilisation and in power
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
class Note:
    """One thing to know; `code` is stable, `uuids` are the GPUs it is about."""

    code: str
    text: str
    uuids: tuple[str, ...]


def find_notes(run: Sequence[GpuDigest]) -> list[Note]:
    """Everything there is to say of a run's GPUs, the worst first."""
    parts = [
        *(_events(seen) for seen in run),
        _without_process(run),
        *(_idle(seen) for seen in run),
        *(_stall(seen) for seen in run),
    ]
    found = [note for part in parts for note in part]
    explained = {uuid for note in found for uuid in note.uuids}
    found += _stragglers([seen for seen in run if seen.gpu.uuid not in explained])
    for seen in run:
        found += [*_hang(seen), *_throttling(seen), *_coverage(seen)]
    return [*found, *_head_room(run)]


def find_node_notes(
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


def _events(seen: GpuDigest) -> Iterator[Note]:
    gpu = seen.gpu
    start = seen.first_s if gpu.first_s is None else gpu.first_s
    for event in gpu.events:
        if event.kind in ("xid", "gpu_lost"):
            said = "lost" if event.kind == "gpu_lost" else event.text
            after = "" if start is None else f" after {format_duration(max(event.time_s - start, 0))}"
            yield Note(
                event.kind, f"{gpu.label}: {said}{after}; report it, and keep off that node", (gpu.uuid,)
            )


def _without_process(run: Sequence[GpuDigest]) -> Iterator[Note]:
    unused = [seen for seen in run if seen.unused]
    if not unused:
        return
    hours = _hours(sum(seen.length_s for seen in unused))
    which = join_names((seen.gpu.label for seen in unused), 4)
    if len(unused) == len(run):
        advice = f"the run used no GPU at all ({hours}); ask for none, or look at why it did not find them"
    else:
        advice = f"no process used {'it' if len(unused) == 1 else 'them'} at all ({hours}); ask for {len(unused)} fewer"
    yield Note("no-process", f"{which}: {advice}", tuple(seen.gpu.uuid for seen in unused))


def _idle(seen: GpuDigest) -> Iterator[Note]:
    """Stretches in which not even one of the driver's samples was above `IDLE_PERCENT`."""
    idle = seen.idle
    if seen.unused or not idle.number:
        return
    times_said = "once" if idle.number == 1 else f"{idle.number} times"
    text = (
        f"{seen.gpu.label}: idle for {format_duration(idle.total_s)} of {format_duration(seen.length_s)} ({times_said}, "
        f"first after {format_duration(idle.first_after_s)}; {_hours(idle.total_s)}); look at what it waits for"
    )
    yield Note("idle", text, (seen.gpu.uuid,))


def _stall(seen: GpuDigest) -> Iterator[Note]:
    """A saw-tooth: the series repeats itself, which flat work at any level does not."""
    percents = seen.percents
    lag = sawtooth_lag(percents.first)
    if lag is None:
        return
    total = percents.counts.total()
    apart_s = median_of(seen.apart_ms) / 1000 if seen.apart_ms else seen.gpu.period_s
    step_s = apart_s * seen.ticks / total  # whatever lies between two attempts
    half = (max(percents.counts) + min(percents.counts)) / 2
    low = sum(n for value, n in percents.counts.items() if value < half) / total
    text = (
        f"{seen.gpu.label}: stalls every {format_significant(lag * step_s, 2)} s, and is down {low:.0%} of the time; the "
        "input may be too slow: more loader workers, faster storage, larger files"
    )
    yield Note("stall", text, (seen.gpu.uuid,))


def _stragglers(run: Sequence[GpuDigest]) -> Iterator[Note]:
    busy = [(seen.gpu, mean, seen.power.mean_w) for seen in run if (mean := seen.percents.mean) is not None]
    if len(busy) < 3:  # noqa: PLR2004  of two nobody can say which is the slow one
        return
    powers = [watts for seen in run if (watts := seen.power.mean_w) is not None]
    usual = statistics.median(mean for _, mean, _ in busy)
    usual_power = statistics.median(powers) if powers else 0.0
    for gpu, mean, watts in busy:
        if mean >= STRAGGLER_SHARE * usual or (watts is not None and watts >= STRAGGLER_SHARE * usual_power):
            continue
        text = f"{gpu.label}: {mean:.0f} % busy where the others are {usual:.0f} %; check its node, its link and its data"
        yield Note("straggler", text, (gpu.uuid,))


def _hang(seen: GpuDigest) -> Iterator[Note]:
    if seen.hung.number:
        longest = format_duration(seen.hung.longest_s)
        text = f"{seen.gpu.label}: 100 % busy at idle power for {longest}; a collective may hang (NCCL)"
        yield Note("hang", text, (seen.gpu.uuid,))


def _throttling(seen: GpuDigest) -> Iterator[Note]:
    ticks = seen.clock_reasons.total()

    def share(bits: int) -> float:
        return sum(n for mask, n in seen.clock_reasons.items() if mask & bits) / ticks

    if not ticks or share(THROTTLING) < THROTTLED_SHARE:
        return
    shares = {name: share(bit) for bit, name in _REASONS.items()}
    said = ", ".join(
        f"{name} {part:.0%} of the time" for name, part in shares.items() if part >= THROTTLED_SHARE / 5
    )
    yield Note("throttled", f"{seen.gpu.label}: slowed down: {said}", (seen.gpu.uuid,))


def _coverage(seen: GpuDigest) -> Iterator[Note]:
    if any(event.kind == "gpu_lost" for event in seen.gpu.events):
        return  # said already
    whole = seen.ticks + seen.missing
    if whole and seen.ticks / whole < COVERAGE_SHARE:
        text = f"{seen.gpu.label}: {seen.missing:,} of {whole:,} samples are missing"
        yield Note("coverage", text, (seen.gpu.uuid,))


def _head_room(run: Sequence[GpuDigest]) -> Iterator[Note]:
    shares = [share for seen in run if (share := seen.memory_share) is not None]
    if shares and max(shares) < HEAD_ROOM_SHARE and not all(seen.unused for seen in run):
        text = (
            f"at most {max(shares):.0%} of the GPUs' memory was used: a larger micro-batch may fit, and may be faster "
            "(allocators cache, so try it)"
        )
        yield Note("head-room", text, tuple(seen.gpu.uuid for seen in run))


def _hours(seconds: float) -> str:
    return f"{format_significant(seconds / 3600, 2)} GPU-hours"
