"""One run, as its report tells it: what each GPU did, what that cost, and what to do about it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from operator import itemgetter
from typing import Any

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import MINUTE_S
from .coverage import Break, attempt_end_s, between_s, find_breaks
from .digest import GpuDigest, WatchedGpu, digest
from .forecast import Forecast, compare_forecasts
from .notes import Note, find_node_notes, find_notes
from .precision import find_precision_notes
from .reading import Event, GpuReading
from .timeline import Timeline


@dataclass(frozen=True)
class GpuReport:
    """One GPU of the run; None is not known.  `course` is its utilisation in equal parts of the run's time.

    `sm_active_mean` and `tensor_active_mean` are shares of the time that its SMs and tensor cores worked.
    """

    uuid: str
    node: str
    place: int
    name: str | None
    utilisation_mean: float | None
    memory_peak_bytes: int | None
    memory_bytes: int | None
    sm_active_mean: float | None
    tensor_active_mean: float | None
    power_mean_w: float | None
    power_limit_w: float | None
    energy_j: float | None
    ticks: int
    course: tuple[float | None, ...]


@dataclass(frozen=True)
class RunReport:
    """`seconds` are from the first attempt's start to the end; `waited_s` is the time in the queue before.

    `gpu_hours` is what each GPU was held for by the attempts that it was sampled in.  `coverage` is the share of
    samples that are there of those the period calls for in that time, over all GPUs.
    """

    run: str
    name: str | None
    state: str
    began_utc: str | None
    started_utc: str | None
    waited_s: float | None
    seconds: float | None
    gpu_hours: float | None
    gpus: tuple[GpuReport, ...]
    notes: tuple[Note, ...]
    coverage: float | None
    guessed: bool  # which GPUs were the job's
    forecasts: tuple[Forecast, ...] = ()
    precision_planned: Precision | None = None
    precision_seen: Precision | None = None  # by its tracker
    unsampled: tuple[str, ...] = ()  # why no GPU could be read

    @property
    def utilisation_mean(self) -> float | None:
        return self._mean("utilisation_mean")

    @property
    def sm_active_mean(self) -> float | None:
        return self._mean("sm_active_mean")

    @property
    def tensor_active_mean(self) -> float | None:
        return self._mean("tensor_active_mean")

    def _mean(self, name: str) -> float | None:
        known = [(v, g.ticks) for g in self.gpus if (v := getattr(g, name)) is not None and g.ticks]
        return sum(v * n for v, n in known) / sum(n for _, n in known) if known else None

    @property
    def energy_kwh(self) -> float | None:
        known = [g.energy_j for g in self.gpus if g.energy_j is not None]
        return sum(known) / 3.6e6 if known else None


@dataclass(frozen=True)
class RunRecord:
    """What is recorded of one run, in rows of the history.

    Readings and minutes are asked for one GPU at a time, by its UUID: those of months are millions.
    """

    run: Mapping[str, Any]
    gpus: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    stretches: Sequence[Mapping[str, Any]]  # each sampler's first and last reading of a GPU
    notes: Sequence[Mapping[str, Any]]  # of the report when the run had ended
    precision: tuple[Precision | None, Precision | None]  # planned, seen
    estimate: Mapping[str, Any] | None  # made before the run
    step_time_s: float | None  # measured in the run
    raw_ticks: int  # readings that are kept
    readings: Callable[[str, float | None], Iterable[tuple[float, GpuReading]]]  # from a Unix time on
    minutes: Callable[[str], Iterable[tuple[float, float]]]  # Unix time, mean utilisation


def build_report(record: RunRecord, since_s: float | None = None, ended_s: float | None = None) -> RunReport:
    """The report of a run, of as much as it has done so far.

    `since_s` keeps the notes to readings from that Unix time on, so that those of days need not be looked at.
    `ended_s` is the end of a run of which the history is not told yet.
    """
    line, known, events = record.run, record.gpus, record.events
    if ended_s is None:
        ended_s = next((g["ended_s"] for g in known), None)
    stretches = {
        uuid: [(row["first_s"], row["last_s"]) for row in own]
        for uuid, own in groupby(record.stretches, key=itemgetter("uuid"))
    }
    first = min((g["first_s"] for g in known if g["first_s"] is not None), default=0.0)
    last = max((g["last_s"] for g in known if g["last_s"] is not None), default=first)
    nodes = {g["node"]: [h for h in known if h["node"] == g["node"]] for g in known}
    said = {
        node: [_event(e) for e in events if e["node"] == node and e["uuid"] is None]
        for node in {*nodes, *(e["node"] for e in events)}
    }
    pauses = {node: find_breaks(own) for node, own in said.items()}
    digests, gpus = [], []
    for g in known:
        own = [_event(e) for e in events if e["uuid"] == g["uuid"]]
        one, shown = _watched(record, g, own, pauses[g["node"]], (first, last), since_s)
        digests.append(one)
        gpus.append(shown)
    found = find_notes(digests)
    for node, there in nodes.items():
        last_there = max((g["last_s"] for g in there if g["last_s"] is not None), default=None)
        found += find_node_notes(node, tuple(g["uuid"] for g in there), said[node], last_there, ended_s)
    lost = {event["uuid"] for event in events if event["kind"] == "gpu_lost"}
    held_s = {
        g["uuid"]: _held_s(g, stretches[g["uuid"]], said[g["node"]], ended_s, lost=g["uuid"] in lost)
        for g in known
        if g["uuid"] in stretches
    }
    wanted = sum(round(held_s.get(g["uuid"], 0.0) / (g["period_s"] or 1.0)) for g in known)
    ticks = sum(g["ticks"] for g in known)
    # What was estimated is the whole training, and no queue.
    trained_s = line["seconds"] if line["state"] == "completed" else None
    if trained_s is not None:
        trained_s -= between_s(said.values())
    planned, seen = record.precision
    found += find_precision_notes(planned, seen, gpus)
    if record.raw_ticks < ticks:  # forgotten, but what they showed was kept
        found = [Note(n["code"], n["text"], tuple(n["uuids"])) for n in record.notes]
    return RunReport(
        run=line["run"],
        name=line["name"],
        state=line["state"],
        began_utc=line["began_utc"],
        started_utc=line["started_utc"],
        waited_s=line["waited_s"],
        seconds=line["seconds"] if line["seconds"] is not None else (last - first if known else None),
        gpu_hours=sum(held_s.values()) / 3600 if held_s else None,
        gpus=tuple(gpus),
        notes=tuple(found),
        coverage=min(ticks / wanted, 1.0) if wanted else None,
        guessed=any(g["attribution"] == "guess" for g in known),
        forecasts=tuple(compare_forecasts(record.estimate, record.step_time_s, trained_s)),
        precision_planned=planned,
        precision_seen=seen,
        unsampled=tuple(dict.fromkeys(e["text"] for e in events if e["kind"] == "no_gpu" and not known)),
    )


def _watched(
    record: RunRecord,
    line: Mapping[str, Any],
    events: Sequence[Event],
    pauses: Sequence[Break],
    time_s: tuple[float, float],
    since_s: float | None,
) -> tuple[GpuDigest, GpuReport]:
    """What the readings of a GPU come to, and its line.  They are read once and never held: of months they are millions."""
    gpu = WatchedGpu(
        uuid=line["uuid"],
        label=f"{line['node']} GPU {line['place']}",
        period_s=line["period_s"] or 1.0,
        power_limit_w=line["power_limit_w"],
        memory_bytes=line["memory_bytes"],
        events=events,
        first_s=line["first_s"],
        pauses=pauses,
    )
    course = Timeline(*time_s, gpu.period_s)
    rows = record.readings(gpu.uuid, since_s)
    seen = digest(gpu, rows if since_s else course.along(rows))
    if all(mean is None for mean in course.means):  # forgotten, or not asked for
        course = Timeline(*time_s, MINUTE_S)
        for minute_s, utilisation in record.minutes(gpu.uuid):
            course.add(minute_s, utilisation)
    known = {f.name: line[f.name] for f in fields(GpuReport) if f.name != "course"}
    return seen, GpuReport(**known, course=course.means)


def _held_s(
    gpu: Mapping[str, Any],
    stretches: Sequence[tuple[float, float]],
    events: Sequence[Event],
    ended_s: float | None,
    *,
    lost: bool,
) -> float:
    """How long the attempts that a GPU was sampled in held it, each from its first sample on.

    A sampler whose last GPU was lost ends at once, and the attempt may go on.
    """
    if lost:
        events = [event for event in events if event.kind != "end"]
    ends = [attempt_end_s(first_s, events, ended_s) or 0.0 for first_s, _ in stretches]
    return sum(
        max(end_s, last_s + (gpu["period_s"] or 1.0)) - first_s
        for (first_s, last_s), end_s in zip(stretches, ends, strict=True)
    )


def _event(row: Mapping[str, Any]) -> Event:
    return Event(row["time_s"], row["kind"], row["text"])
