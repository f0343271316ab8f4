"""The notes of a report: what a run's GPUs did wrong, and what to do, from pure detectors over their digests.

One fact is one note, whichever GPUs it holds for.  Each threshold is a named constant, here or in `digest`;
docs/explanation/notes.md says why it has its value.
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence

from ...cluster_profiles.units import format_duration, format_significant
from .coverage import COVERAGE_SHARE
from .digest import GpuDigest
from .notes import Note, advise_to_avoid, format_span, group_alike, name_gpus
from .reading import Event
from .rollup import THROTTLING

STRAGGLER_SHARE = 0.8  # of the median of the run's GPUs, in utilisation and in power
HEAD_ROOM_SHARE = 0.5  # of memory used at the peak
THROTTLED_SHARE = 0.05  # of the readings, for all reasons together
_REASON_SHARE = 0.01  # of the readings, for a reason to be named

_COOLING = "tell the administrators: the node's cooling or power supply is too weak"
_REASONS = {
    0x0004: ("power cap", "expected at full load; if only some GPUs have it, compare their power limits"),
    0x0008: ("hardware slowdown", _COOLING),
    0x0020: ("thermal (software)", _COOLING),
    0x0040: ("thermal (hardware)", _COOLING),
    0x0080: ("power brake", _COOLING),
}


def find_notes(run: Sequence[GpuDigest]) -> list[Note]:
    """Return the notes on a run's GPUs, in no order."""
    notes = [*_events(run), *_no_process(run), *_idle(run), *_stall(run)]
    explained = {uuid for note in notes for uuid in note.uuids}
    notes += _stragglers(run, explained)
    return [*notes, *_hang(run), *_throttled(run), *_coverage(run), *_head_room(run)]


def _note(code: str, group: Sequence[GpuDigest], text: str) -> Note:
    return Note(code, text, tuple(digest.gpu.uuid for digest in group))


def _names(group: Sequence[GpuDigest], run: Sequence[GpuDigest]) -> str:
    return name_gpus([digest.gpu for digest in group], [digest.gpu for digest in run])


def _subject(group: Sequence[GpuDigest], run: Sequence[GpuDigest], one: str, several: str) -> str:
    """Return the names of the GPUs, and the verb for one or several of them."""
    return f"{_names(group, run)} {one if len(group) == 1 else several}"


def _percent(shares: Iterable[float]) -> str:
    return f"{format_span(shares, lambda share: f'{share * 100:.0f}')} %"


def _gpu_hours(seconds: float) -> str:
    return f"{format_significant(seconds / 3600, 2)} GPU-hours"


def _events(run: Sequence[GpuDigest]) -> Iterator[Note]:
    """Yield a note per XID, and one for the GPUs that were lost."""
    events: dict[tuple[str, str], list[tuple[GpuDigest, Event]]] = {}
    for digest in run:
        for event in digest.gpu.events:
            if event.kind == "xid":
                events.setdefault(("xid", event.text), []).append((digest, event))
            elif event.kind == "gpu_lost":
                events.setdefault(("gpu_lost", ""), []).append((digest, event))
    for (code, xid), pairs in events.items():
        group = list({digest.gpu.uuid: digest for digest, _ in pairs}.values())
        what = (
            f"{_names(group, run)} reported {xid}" if xid else _subject(group, run, "was lost", "were lost")
        )
        times = f" {len(pairs)} times" if len(pairs) > len(group) else ""
        after_s = [seconds for digest, event in pairs if (seconds := _after_s(digest, event)) is not None]
        when = f" after {format_span(after_s, format_duration)}" if after_s else ""
        advice = advise_to_avoid(digest.gpu.node for digest in group)
        yield _note(code, group, f"{what}{times}{when}; {advice}")


def _after_s(digest: GpuDigest, event: Event) -> float | None:
    start_s = digest.first_s if digest.gpu.first_s is None else digest.gpu.first_s
    return None if start_s is None else max(event.time_s - start_s, 0)


def _no_process(run: Sequence[GpuDigest]) -> Iterator[Note]:
    unused = [digest for digest in run if digest.unused]
    if not unused:
        return
    hours = _gpu_hours(sum(digest.length_s for digest in unused))
    if len(unused) == len(run):
        text = (
            f"the run used no GPU at all ({hours}); ask for none, or find out why the script did not see them"
        )
    else:
        text = f"{_names(unused, run)} had no process at all ({hours}); ask for {len(unused)} fewer"
    yield _note("no-process", unused, text)


def _idle(run: Sequence[GpuDigest]) -> Iterator[Note]:
    """Yield notes on stretches in which not even one of the driver's samples was above `IDLE_PERCENT`."""
    idle = [digest for digest in run if digest.idle.number and not digest.unused]
    for group in group_alike(idle, lambda digest: digest.idle.total_s):
        idle_s = [digest.idle.total_s for digest in group]
        numbers = format_span((d.idle.number for d in group), "{:.0f}".format)
        yield _note(
            "idle",
            group,
            f"{_subject(group, run, 'was', 'were')} idle for {format_span(idle_s, format_duration)}"
            f" of {format_span((d.length_s for d in group), format_duration)}"
            f" ({'once' if numbers == '1' else f'{numbers} times'},"
            f" first after {format_span((d.idle.first_after_s for d in group), format_duration)};"
            f" {_gpu_hours(sum(idle_s))}); find out what the run waits for (input, a checkpoint, another rank)",
        )


def _stall(run: Sequence[GpuDigest]) -> Iterator[Note]:
    """Yield notes on saw-tooths: series that repeat themselves, which flat work at any level does not."""
    stalls = {d.gpu.uuid: stall for d in run if (stall := d.sawtooth) is not None}
    stalled = [digest for digest in run if digest.gpu.uuid in stalls]
    for group in group_alike(stalled, lambda digest: stalls[digest.gpu.uuid][0]):
        periods_s, low_shares = zip(*(stalls[digest.gpu.uuid] for digest in group), strict=True)
        yield _note(
            "stall",
            group,
            f"{_subject(group, run, 'stalls', 'stall')} every"
            f" {format_span(periods_s, lambda s: format_significant(s, 2))} s,"
            f" down {_percent(low_shares)} of the time; the input may be too slow: more loader workers,"
            " faster storage, larger files",
        )


def _stragglers(run: Sequence[GpuDigest], explained: set[str]) -> Iterator[Note]:
    means = {
        d.gpu.uuid: mean
        for d in run
        if d.gpu.uuid not in explained and (mean := d.utilisation.mean) is not None
    }
    if len(means) < 3:  # noqa: PLR2004  nobody can say which of two is the slow one
        return
    powers_w = {d.gpu.uuid: d.power.mean_w for d in run if d.gpu.uuid not in explained}
    readable_w = [watts for watts in powers_w.values() if watts is not None]
    usual, usual_w = statistics.median(means.values()), statistics.median(readable_w or [0.0])

    def lags(uuid: str) -> bool:
        watts = powers_w[uuid]
        return means[uuid] < STRAGGLER_SHARE * usual and (watts is None or watts < STRAGGLER_SHARE * usual_w)

    slow = [digest for digest in run if digest.gpu.uuid in means and lags(digest.gpu.uuid)]
    for group in group_alike(slow, lambda digest: means[digest.gpu.uuid]):
        busy = _percent(means[digest.gpu.uuid] / 100 for digest in group)
        yield _note(
            "straggler",
            group,
            f"{_subject(group, run, 'is', 'are')} {busy} busy, the median GPU {usual:.0f} %; check its"
            " node, its link and its data",
        )


def _hang(run: Sequence[GpuDigest]) -> Iterator[Note]:
    hung = [digest for digest in run if digest.hung.number]
    for group in group_alike(hung, lambda digest: digest.hung.longest_s):
        longest = format_span((digest.hung.longest_s for digest in group), format_duration)
        yield _note(
            "hang",
            group,
            f"{_subject(group, run, 'was', 'were')} 100 % busy at idle power for {longest}; a collective"
            " may hang (NCCL): see whether its steps go on",
        )


def _throttled(run: Sequence[GpuDigest]) -> Iterator[Note]:
    throttled = [digest for digest in run if digest.reason_share(THROTTLING) >= THROTTLED_SHARE]
    for bit in _REASONS:
        yield from _slowed(throttled, run, bit)


def _slowed(throttled: Sequence[GpuDigest], run: Sequence[GpuDigest], bit: int) -> Iterator[Note]:
    reason, advice = _REASONS[bit]
    slowed = [digest for digest in throttled if digest.reason_share(bit) >= _REASON_SHARE]
    for group in group_alike(slowed, lambda digest: digest.reason_share(bit)):
        shares = _percent(digest.reason_share(bit) for digest in group)
        yield _note("throttled", group, f"{reason} {shares} of the time on {_names(group, run)}; {advice}")


def _coverage(run: Sequence[GpuDigest]) -> Iterator[Note]:
    def due(digest: GpuDigest) -> int:
        return digest.ticks + digest.missing

    gappy = [
        digest
        for digest in run
        if due(digest)
        and digest.ticks / due(digest) < COVERAGE_SHARE
        and all(event.kind != "gpu_lost" for event in digest.gpu.events)  # that explains it
    ]
    for group in group_alike(gappy, lambda digest: digest.missing):
        missing = format_span((digest.missing for digest in group), "{:,.0f}".format)
        total = format_span((due(digest) for digest in group), "{:,.0f}".format)
        yield _note(
            "coverage",
            group,
            f"{_subject(group, run, 'lacks', 'lack')} {missing} of {total} readings",
        )


def _head_room(run: Sequence[GpuDigest]) -> Iterator[Note]:
    shares = [share for digest in run if (share := digest.memory_share) is not None]
    if shares and max(shares) < HEAD_ROOM_SHARE and not all(digest.unused for digest in run):
        yield _note(
            "head-room",
            run,
            f"the run used at most {_percent([max(shares)])} of the GPUs' memory; a larger micro-batch may fit, and may"
            " be faster (try it: allocators cache)",
        )
