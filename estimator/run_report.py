"""One run, as its report tells it: what each GPU did, what that cost, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from .history import History
from .runs import Event
from .utilisation import GpuSeries, Note, notes, utilisation

COURSE_POINTS = 40  # of a GPU's utilisation over the run


@dataclass(frozen=True)
class GpuReport:
    """One GPU of the run; None is not known.  `course` is its utilisation in equal parts of the run's time."""

    uuid: str
    node: str
    place: int
    name: str | None
    utilisation_mean: float | None
    memory_peak_bytes: int | None
    memory_bytes: int | None
    power_mean_w: float | None
    energy_j: float | None
    ticks: int
    course: tuple[float | None, ...]


@dataclass(frozen=True)
class RunReport:
    """`coverage` is the share of samples that are there of those the period calls for, over all GPUs."""

    run: str
    name: str | None
    state: str
    began_utc: str | None
    seconds: float | None
    gpus: tuple[GpuReport, ...]
    notes: tuple[Note, ...]
    coverage: float | None
    guessed: bool  # which GPUs were the job's

    @property
    def utilisation_mean(self) -> float | None:
        known = [
            (g.utilisation_mean, g.ticks) for g in self.gpus if g.utilisation_mean is not None and g.ticks
        ]
        return sum(u * n for u, n in known) / sum(n for _, n in known) if known else None

    @property
    def energy_kwh(self) -> float | None:
        known = [g.energy_j for g in self.gpus if g.energy_j is not None]
        return sum(known) / 3.6e6 if known else None

    @property
    def gpu_hours(self) -> float | None:
        return self.seconds * len(self.gpus) / 3600 if self.seconds is not None else None


def run_report(history: History, run: str) -> RunReport:
    """The report of a run that is in the history, of as much as it has done so far."""
    (line,) = [r for r in history.runs() if r["run"] == run]
    known = history.run_gpus(run)
    events: dict[str, list[Event]] = {}
    for e in history.events(run):
        events.setdefault(e["uuid"] or "", []).append(Event(e["time_s"], e["kind"], e["text"]))
    series = [
        GpuSeries(
            uuid=g["uuid"],
            label=f"{g['node']} GPU {g['place']}",
            period_s=g["period_s"] or 1.0,
            power_limit_w=g["power_limit_w"],
            memory_bytes=g["memory_bytes"],
            rows=history.readings(run, g["uuid"]),
            events=events.get(g["uuid"], []),
            first_s=g["first_s"],
        )
        for g in known
    ]
    first = min((g["first_s"] for g in known if g["first_s"] is not None), default=0.0)
    last = max((g["last_s"] for g in known if g["last_s"] is not None), default=first)
    return RunReport(
        run=run,
        name=line["name"],
        state=line["state"],
        began_utc=line["began_utc"],
        seconds=line["seconds"] if line["seconds"] is not None else (last - first if known else None),
        gpus=tuple(
            GpuReport(
                uuid=g["uuid"],
                node=g["node"],
                place=g["place"],
                name=g["name"],
                utilisation_mean=g["utilisation_mean"],
                memory_peak_bytes=g["memory_peak_bytes"],
                memory_bytes=g["memory_bytes"],
                power_mean_w=g["power_mean_w"],
                energy_j=g["energy_j"],
                ticks=g["ticks"],
                course=course(_points(s) or history.minutes(run, g["uuid"]), first, last),
            )
            for g, s in zip(known, series, strict=True)
        ),
        notes=tuple(notes(series)),
        coverage=_coverage(series),
        guessed=any(g["attribution"] == "guess" for g in known),
    )


def course(points: Sequence[tuple[float, float]], first: float, last: float) -> tuple[float | None, ...]:
    """The mean of (time, value) points in each of `COURSE_POINTS` equal parts of the time; None where there is none.

    >>> course([(0, 10), (1, 20), (40, 50)], 0, 40)[0]
    10.0
    """
    parts: list[list[float]] = [[] for _ in range(COURSE_POINTS)]
    width = max(last - first, 1e-9) / COURSE_POINTS
    for time_s, value in points:
        parts[min(max(int((time_s - first) / width), 0), COURSE_POINTS - 1)].append(value)
    return tuple(sum(part) / len(part) if part else None for part in parts)


def _points(series: GpuSeries) -> list[tuple[float, float]]:
    found = []
    for time_s, reading in series.rows:
        values = utilisation(GpuSeries("", "", 1.0, None, None, [(time_s, reading)]))
        if values:
            found.append((time_s, sum(values) / len(values)))
    return found


def _coverage(run: Sequence[GpuSeries]) -> float | None:
    there = sum(len(s.rows) for s in run)
    wanted = sum(round((s.rows[-1][0] - s.rows[0][0]) / s.period_s) + 1 for s in run if s.rows)
    return min(there / wanted, 1.0) if wanted else None
