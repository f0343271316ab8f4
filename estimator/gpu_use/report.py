"""The report of one run: what each GPU did, the energy and GPU-hours, and the notes.  Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ...cluster_profiles.precision import Precision
from ..measurements.clock_steps import length_s
from .coverage import RunNode, find_node_notes
from .detectors import find_notes
from .digest import GpuDigest, digest
from .forecast import Forecast, compare_forecasts
from .metrics import Display, weighted_mean
from .notes import Note, order_notes
from .precision import find_precision_notes
from .reading import DISPLAYS
from .record import (
    MOST_READINGS,
    RunRecord,
    gpu_index,
    gpus_allocated_s,
    run_gpu,
    run_nodes,
    sampled_between_s,
)
from .utilisation import Timeline


class EnergySource(StrEnum):
    """What the energy of a run was told by, the best first."""

    COUNTERS = "counters"
    POWER = "power"
    POWER_LIMIT = "power_limit"


@dataclass(frozen=True)
class GpuReport:
    """One GPU of the run; None is not known.

    `index` is the number that nvidia-smi shows on the node, `place` the GPU's place in its spool.  `metrics` has the
    columns of `reading.DISPLAYS`.  `timeline` is its mean utilisation in equal parts of the run's time, in per cent.
    """

    uuid: str
    node: str
    index: str
    place: int
    name: str | None
    metrics: Mapping[str, float | None]
    memory_bytes: int | None
    power_limit_w: float | None
    ticks: int
    timeline: tuple[float | None, ...]


@dataclass(frozen=True)
class RunReport:
    """`seconds` are from the first attempt's start to the end; `waited_s` is the time in the queue before.

    `gpu_hours` adds up how long each GPU was held by the attempts in which it was sampled.  `coverage` is the share of
    the readings due in that time, over all GPUs, that were taken.
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
    attribution_guessed: bool  # the job's GPUs were chosen by their position
    forecasts: tuple[Forecast, ...] = ()
    precision_planned: Precision | None = None
    precision_seen: Precision | None = None  # by its tracker
    unsampled: tuple[str, ...] = ()  # why no GPU could be read
    notes_of_s: float | None = None  # up to the last reading, which the notes are on; None: the whole run

    def mean(self, column: str) -> float | None:
        """Return the mean of a column of `reading.DISPLAYS` over all GPUs and their readings."""
        return weighted_mean((gpu.metrics[column], gpu.ticks) for gpu in self.gpus)

    def gauge_share(self, display: Display) -> float | None:
        """Return how far the gauge of a metric is filled: 1 is `Gauge.full`.  None if it has none, or no value."""
        gauge = display.gauge
        if gauge is None:
            return None
        shares = [
            (value / full, gpu.ticks)
            for gpu in self.gpus
            if (value := gpu.metrics[display.column]) is not None
            and (full := getattr(gpu, gauge.full) if isinstance(gauge.full, str) else gauge.full)
        ]
        return weighted_mean(shares) if gauge.fold == "mean" else max((s for s, _ in shares), default=None)

    @property
    def energy_source(self) -> EnergySource | None:
        """Return what tells the energy: the GPUs' counters, otherwise their mean power or only its limit; None is nothing."""
        return next((source for source in EnergySource if self._kwh_by(source) is not None), None)

    @property
    def energy_kwh(self) -> float | None:
        """Return the energy of the GPUs by the best source; with `POWER_LIMIT` that is the most that it can be."""
        return self._kwh_by(self.energy_source) if self.energy_source else None

    def _kwh_by(self, source: EnergySource) -> float | None:
        """Return the sum of the GPUs' counters, or a mean power times the GPU-hours."""
        if source is EnergySource.COUNTERS:
            counted_j = [joules for gpu in self.gpus if (joules := gpu.metrics["energy_j"]) is not None]
            return sum(counted_j) / 3.6e6 if counted_j else None
        if source is EnergySource.POWER:
            power_w = self.mean("power_mean_w")
        else:
            power_w = weighted_mean((gpu.power_limit_w, 1) for gpu in self.gpus)
        return None if power_w is None or self.gpu_hours is None else power_w * self.gpu_hours / 1000


def build_report(record: RunRecord, since_s: float | None = None, ended_s: float | None = None) -> RunReport:
    """Return the report of a run, as far as it has got.

    With `since_s` the notes are on the readings from that Unix time on, so that those of days need not be read; of a
    run that goes on, they are on the latest `MOST_READINGS`.
    `ended_s` is the end of a run whose notes are to be made: those of an ended run are in the history.
    """
    run, (planned, observed) = record.run, record.precision
    is_told = (record.has_ended and since_s is None and ended_s is None) or record.raw_ticks() < record.ticks
    notes_of_s = record.latest_s if not is_told and since_s is None and ended_s is None else None
    if notes_of_s is not None and (between_s := sampled_between_s(record)):
        since_s = between_s[1] - notes_of_s
    if ended_s is None:
        ended_s = next((row["ended_s"] for row in record.gpus), None)
    nodes = run_nodes(record)
    digests, timelines = _read_gpus(record, nodes, since_s, needs_digests=not is_told)
    gpus = tuple(_gpu_report(row, timelines.get(row["uuid"], (None,))) for row in record.gpus)
    if is_told:
        notes = [Note(row["code"], row["text"], tuple(row["uuids"])) for row in record.notes]
    else:
        notes = _find_notes(record, digests, nodes, gpus, ended_s)
    allocated_s = gpus_allocated_s(record, nodes, ended_s)
    return RunReport(
        run=run["run"],
        name=run["name"],
        state=run["state"],
        began_utc=run["began_utc"],
        started_utc=run["started_utc"],
        waited_s=run["waited_s"],
        seconds=_seconds(run, sampled_between_s(record)),
        gpu_hours=_gpu_hours(allocated_s),
        gpus=gpus,
        notes=tuple(notes),
        coverage=_coverage(record, allocated_s),
        attribution_guessed=any(row["attribution"] == "guess" for row in record.gpus),
        forecasts=tuple(compare_forecasts(record.estimate, record.step_time_s, record.trained_s)),
        precision_planned=planned,
        precision_seen=observed,
        unsampled=record.unsampled,
        notes_of_s=notes_of_s,
    )


def _read_gpus(
    record: RunRecord, nodes: Mapping[str, RunNode], since_s: float | None, *, needs_digests: bool
) -> tuple[list[GpuDigest], dict[str, Sequence[float | None]]]:
    """Return the digests of the GPUs, if they are needed, and their timelines by UUID.

    The readings are read once and never held: those of months are millions.  The minutes make the timelines if some
    readings are no longer kept, if only the late ones are read, or if they are too many to be read for this alone.
    """
    is_short = since_s is None and (needs_digests or record.ticks <= MOST_READINGS)
    makes_timelines = is_short and record.raw_ticks() == record.ticks
    between_s = sampled_between_s(record) or (0.0, 0.0)
    timelines: dict[str, Sequence[float | None]] = {}
    if not makes_timelines:
        timelines.update(record.timelines(*between_s))
    digests = []
    for row in record.gpus if needs_digests or makes_timelines else ():
        gpu = run_gpu(record, row, nodes[row["node"]])
        timeline = Timeline(*between_s, gpu.period_s)
        readings = record.readings(gpu.uuid, since_s)
        passing = timeline.add_passing(readings) if makes_timelines else readings
        if needs_digests:
            digests.append(digest(gpu, passing))
        else:
            deque(passing, maxlen=0)
        if makes_timelines:
            timelines[gpu.uuid] = timeline.means
    return digests, timelines


def _gpu_report(row: Mapping[str, Any], timeline: Sequence[float | None]) -> GpuReport:
    return GpuReport(
        uuid=row["uuid"],
        node=row["node"],
        index=gpu_index(row),
        place=row["place"],
        name=row["name"],
        metrics={display.column: row[display.column] for display in DISPLAYS},
        memory_bytes=row["memory_bytes"],
        power_limit_w=row["power_limit_w"],
        ticks=row["ticks"],
        timeline=tuple(timeline),
    )


def _find_notes(
    record: RunRecord,
    digests: Sequence[GpuDigest],
    nodes: Mapping[str, RunNode],
    gpus: Sequence[GpuReport],
    ended_s: float | None,
) -> list[Note]:
    notes = [
        *find_notes(digests),
        *find_node_notes(list(nodes.values()), ended_s),
        *find_precision_notes(*record.precision, gpus),
        *record.loop_notes(),
    ]
    return order_notes(notes, len(gpus))


def _gpu_hours(allocated_s: Mapping[str, float | None]) -> float | None:
    held_s = [seconds for seconds in allocated_s.values() if seconds is not None]
    return sum(held_s) / 3600 if held_s and len(held_s) == len(allocated_s) else None


def _coverage(record: RunRecord, allocated_s: Mapping[str, float | None]) -> float | None:
    if None in allocated_s.values():
        return None
    due = sum(round((allocated_s.get(row["uuid"]) or 0.0) / (row["period_s"] or 1.0)) for row in record.gpus)
    return min(record.ticks / due, 1.0) if due else None


def _seconds(run: Mapping[str, Any], sampled_s: tuple[float, float] | None) -> float | None:
    """Return how long the run took; while it goes on, and where clocks do not tell, the time between first and last reading."""
    if run["seconds"] is not None:
        return float(run["seconds"])
    return length_s(*sampled_s) if sampled_s else None
