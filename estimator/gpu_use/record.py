"""The record of one run: the rows that the history has of it, and the values that a report makes of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from ...cluster_profiles.precision import Precision
from .coverage import RunNode, allocated_s
from .digest import RunGpu
from .notes import Note
from .reading import Event, GpuReading

MOST_READINGS = 40_000  # of all GPUs, that are read for a report: about a second


@dataclass(frozen=True)
class RunRecord:
    """Everything recorded of one run, in rows of the history.

    `readings` gives one GPU at a time, by its UUID: those of months are millions.  `timelines` gives from its minutes
    the mean utilisation of each in equal parts of the time between two Unix times.
    """

    run: Mapping[str, Any]
    gpus: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    stretches: Sequence[Mapping[str, Any]]  # each sampler's first and last reading of a GPU
    has_ended: bool
    notes: Sequence[Mapping[str, Any]]  # of the report when the run had ended
    precision: tuple[Precision | None, Precision | None]  # planned, seen
    estimate: Mapping[str, Any] | None  # made before the run
    step_time_s: float | None  # measured in the run
    trained_s: float | None  # by all attempts, if it ran to its end
    loop_notes: Callable[[], Sequence[Note]]  # on its steps
    raw_ticks: Callable[[], int]  # readings that are kept; of months it takes a while to count them
    readings: Callable[[str, float | None], Iterable[tuple[float, GpuReading]]]  # from a Unix time on
    timelines: Callable[[float, float], Mapping[str, Sequence[float | None]]]
    damage: Sequence[
        Mapping[str, Any]
    ] = ()  # of a node's spools: bytes that cannot be read, values that cannot be

    @property
    def ticks(self) -> int:
        """Return the number of readings that were taken; more than `raw_ticks` if some are no longer kept."""
        return sum(row["ticks"] for row in self.gpus)

    @property
    def latest_s(self) -> float | None:
        """Return how many seconds up to the last reading have `MOST_READINGS`; None if the run has no more than these."""
        between_s = sampled_between_s(self)
        if between_s is None or self.ticks <= MOST_READINGS:
            return None
        return (between_s[1] - between_s[0]) * MOST_READINGS / self.ticks

    @property
    def unsampled(self) -> tuple[str, ...]:
        """Return why no GPU was sampled; nothing if one was."""
        texts = dict.fromkeys(row["text"] for row in self.events if row["kind"] == "no_gpu")
        return () if self.gpus else tuple(texts)


def run_nodes(record: RunRecord) -> dict[str, RunNode]:
    """Return the run's nodes by name: those with GPUs first, then those with events alone."""
    names = dict.fromkeys(row["node"] for row in (*record.gpus, *record.events))
    nodes = {}
    for name in names:
        rows = [row for row in record.gpus if row["node"] == name]
        events = [_event(row) for row in record.events if row["node"] == name and row["uuid"] is None]
        last_s = max((row["last_s"] for row in rows if row["last_s"] is not None), default=None)
        damage = [row for row in record.damage if row["node"] == name]
        damaged_bytes, dropped = (sum(row[key] for row in damage) for key in ("damaged_bytes", "dropped"))
        uuids = tuple(row["uuid"] for row in rows)
        nodes[name] = RunNode(name, uuids, events, last_s, damaged_bytes, dropped)
    return nodes


def _event(row: Mapping[str, Any]) -> Event:
    return Event(row["time_s"], row["kind"], row["text"])


def run_gpu(record: RunRecord, row: Mapping[str, Any], node: RunNode) -> RunGpu:
    """Return the GPU of a row, on its node."""
    return RunGpu(
        uuid=row["uuid"],
        node=row["node"],
        index=gpu_index(row),
        period_s=row["period_s"] or 1.0,
        power_limit_w=row["power_limit_w"],
        memory_bytes=row["memory_bytes"],
        events=[_event(event) for event in record.events if event["uuid"] == row["uuid"]],
        first_s=row["first_s"],
        breaks=node.breaks,
    )


def gpu_index(row: Mapping[str, Any]) -> str:
    """Return the index of nvidia-smi, or the GPU's place in its spool if the spool does not have it."""
    return str(row["place"]) if row["gpu_index"] is None else row["gpu_index"]


def sampled_between_s(record: RunRecord) -> tuple[float, float] | None:
    """Return the Unix times of the run's first and last reading."""
    first_s = [row["first_s"] for row in record.gpus if row["first_s"] is not None]
    last_s = [row["last_s"] for row in record.gpus if row["last_s"] is not None]
    return (min(first_s), max(last_s)) if first_s else None


def gpus_allocated_s(
    record: RunRecord, nodes: Mapping[str, RunNode], ended_s: float | None
) -> dict[str, float | None]:
    """Return how long each GPU was held by the attempts in which it was sampled, by UUID; None is not known."""
    lost = {event["uuid"] for event in record.events if event["kind"] == "gpu_lost"}
    stretches = {
        uuid: [(row["first_s"], row["last_s"]) for row in rows]
        for uuid, rows in groupby(record.stretches, key=itemgetter("uuid"))
    }
    return {
        row["uuid"]: allocated_s(
            stretches[row["uuid"]],
            nodes[row["node"]].events,
            row["period_s"] or 1.0,
            ended_s,
            lost=row["uuid"] in lost,
        )
        for row in record.gpus
        if row["uuid"] in stretches
    }
