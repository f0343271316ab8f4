"""The charts of one run: its story, its training by step, its GPUs over time, its estimate."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...cluster_profiles.units import format_duration, plural
from ...estimator.gpu_use.course.course import QUANTITIES, Quantity, RunCourse, band_of
from ...estimator.gpu_use.course.places import NotePlace
from ...estimator.gpu_use.report import GpuReport, RunReport
from ...estimator.stopping.curve import Point
from ...launcher.curves.training_log import TrainingLog
from ...launcher.runs.explain.story import Chapter
from ..charts.band_chart import Band, Mark, draw_band
from ..charts.figure import Figure
from ..charts.line_chart import Line, Lines, draw_lines
from ..charts.paths import Point as Place
from ..charts.range_chart import RangeRow, draw_range_rows
from ..charts.state_chart import StateRow, Stretch, draw_states

_STORY_LEGEND = {
    "wait": "in the queue",
    "run": "training",
    "stop": "stopped and started again, or cancelled",
    "good": "completed",
    "bad": "ended by a failure",
}


@dataclass(frozen=True)
class RunDetails:
    """What the page of a run shows beside its report; None and empty are not known."""

    course: RunCourse | None = None
    places: Sequence[NotePlace] = ()
    log: TrainingLog | None = None
    chapters: Sequence[Chapter] = ()
    command: str = ""
    written_utc: str = ""


def draw_story(chapters: Sequence[Chapter]) -> Figure | None:
    """Return the attempts and the waits of a run over time; None if nothing has happened."""
    if not chapters:
        return None
    begin_s = chapters[0].begin_s
    stretches = [
        Stretch(each.begin_s - begin_s, each.end_s - begin_s, each.kind, each.name, each.text)
        for each in chapters
    ]
    kinds = dict.fromkeys(each.kind for each in chapters)
    legend = [(kind, name) for kind, name in _STORY_LEGEND.items() if kind in kinds]
    seconds = max(chapters[-1].end_s - begin_s, 1.0)
    return draw_states(
        "story", "Attempts since it was submitted", [StateRow("run", stretches)], seconds, legend
    )


def draw_training(log: TrainingLog) -> Iterator[Figure]:
    """Yield the losses with the validations, and the speed; nothing of what the run does not tell."""
    curve = log.curve
    lines = [Line(curve.loss_name, _places(curve.losses))] if curve.losses else []
    if curve.validations:
        lines.append(Line(curve.validation_name, _places(curve.validations), has_dots=True))
    if lines:
        yield draw_lines(Lines("loss", "Loss by step", "", lines, _not_finite(curve.losses, curve.loss_name)))
    for number, (name, points) in enumerate(curve.others):
        yield draw_lines(
            Lines(f"other{number}", f"{name} by step", "", [Line(name, _places(points), has_dots=True)])
        )
    if log.speeds:
        line = Line("speed without pauses", _places(log.speeds))
        yield draw_lines(Lines("speed", "Speed by step, in steps/s", "steps/s", [line]))
    if curve.learning_rates:
        line = Line("learning rate", _places(curve.learning_rates))
        yield draw_lines(Lines("rate", "Learning rate by step", "", [line]))


def draw_gpus(report: RunReport, details: RunDetails) -> Iterator[Figure]:
    """Yield a band for each quantity that was read, with the four GPUs that stand out and the marks of notes."""
    course = details.course
    if course is None:
        return
    names = name_each(report.gpus)
    for quantity in QUANTITIES:
        lines = course.values.get(quantity.key)
        if not lines:
            continue
        band = band_of(quantity, lines)
        chart = Band(
            key=quantity.key,
            title=f"{quantity.title}, since the run began",
            unit=quantity.unit,
            times_s=course.times_s,
            lows=band.lows,
            means=band.means,
            highs=band.highs,
            seconds=course.parts * course.width_s,
            gpus=len(lines),
            worst=[(names.get(uuid, uuid), lines[uuid]) for uuid in band.worst],
            full=_full(quantity, report.gpus),
        )
        yield draw_band(chart, list(_marks(quantity.key, details.places)))


def draw_estimate(report: RunReport) -> Figure | None:
    """Return what was estimated beside what came; None if nothing was estimated."""
    rows = [RangeRow(each.what, each.estimated, each.actual) for each in report.forecasts]
    return draw_range_rows("estimate", "Estimate and what came", rows) if rows else None


def name_each(gpus: Sequence[GpuReport]) -> dict[str, str]:
    """Return the name of each GPU by its UUID: its index, and its node if there are several."""
    nodes = {gpu.node for gpu in gpus}
    return {gpu.uuid: f"GPU {gpu.index}" + (f" on {gpu.node}" if len(nodes) > 1 else "") for gpu in gpus}


def _full(quantity: Quantity, gpus: Sequence[GpuReport]) -> float | None:
    if quantity.key == "memory":
        return max((gpu.memory_bytes / 2**30 for gpu in gpus if gpu.memory_bytes), default=None)
    return quantity.full


def _marks(key: str, places: Sequence[NotePlace]) -> Iterator[Mark]:
    for number, place in enumerate(places, 1):
        if place.chart == key and place.between_s:
            yield Mark(*place.between_s, str(number), place.note.text)


def _places(points: Sequence[Point]) -> list[Place]:
    return [(step, value if math.isfinite(value) else None) for step, value in points]


def _not_finite(points: Sequence[Point], name: str) -> list[str]:
    steps = [step for step, value in points if not math.isfinite(value)]
    if not steps:
        return []
    return [
        f"The {name} was not a finite number at {plural(len(steps), 'point')}, first at step {steps[0]:,}."
    ]


def describe_place(place: NotePlace) -> str:
    """Return in words where in its chart a note is.

    >>> from clusterplan.estimator.gpu_use.notes import Note
    >>> describe_place(NotePlace(Note("idle", "", ()), "utilisation", (3600.0, 7200.0)))
    'from 1h to 2h'
    """
    if place.between_s is None:
        return "over the whole run"
    begin_s, end_s = place.between_s
    began = format_duration(begin_s) if begin_s else "the beginning"
    return f"at {began}" if end_s <= begin_s else f"from {began} to {format_duration(end_s)}"
