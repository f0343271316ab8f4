"""The report of one run as an HTML file that can be mailed."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from ...cluster_profiles.units import format_significant
from ...estimator.cost.run_cost import RunCost
from ...estimator.gpu_use.course.course import QUANTITIES, pack_lines
from ...estimator.gpu_use.reading import DISPLAYS
from ...estimator.gpu_use.report import RunReport
from ...launcher.runs.run_status import RunStatus
from ..charts.escaped import escape_prose, escape_text, format_place
from ..charts.figure import Figure
from ..charts.scale import WIDE
from ..runs.ending_text import restart_rows
from ..runs.progress_text import progress_rows
from ..runs.run_text import notes_title, took_row, usage_rows
from ..runs.status_text import checkpoint_rows, node_rows, time_rows
from .document import render_document
from .parts import kind_of_state, render_facts, render_section, render_sentences, render_state, render_table
from .run_charts import (
    RunDetails,
    describe_place,
    draw_estimate,
    draw_gpus,
    draw_story,
    draw_training,
    name_each,
)

_CHOICE = (
    '<p class="tools" id="choose-gpu" hidden><label>Also draw <select><option value="">no other GPU</option></select></label>'
    '<span class="quiet by-mouse">Point at a chart for its values; drag to zoom, double-click to see all. '
    "By keyboard: arrows, + and -, Escape.</span></p>"
)
_MOST_ISLAND = 1_500_000  # bytes of values for the choice of a GPU; above it the choice is left out


def render_run_page(
    report: RunReport, cost: RunCost | None, status: RunStatus | None, details: RunDetails
) -> str:
    """Return the whole report as the text of one HTML file."""
    figures = list(draw_gpus(report, details))
    island = _gpu_island(report, details, figures)
    command = f"<p>Command: <code>{escape_text(details.command)}</code></p>" if details.command else ""
    body = "".join(
        [
            f"<main><header><h1>{escape_text(report.run)}</h1></header>",
            render_answer(report, cost, status),
            *render_sections(report, status, details, figures, _CHOICE if island else ""),
            f"<footer>{command}<p>Written by clusterplan {escape_text(details.written_utc)}. This file asks nothing of a network.</p></footer></main>",
        ]
    )
    return render_document(
        f"{report.run}: clusterplan report", body, {"gpu-lines": island} if island else None
    )


def render_answer(report: RunReport, cost: RunCost | None, status: RunStatus | None) -> str:
    """Return how the run ended or how far it is, what to do about it, and its figures, as HTML."""
    return _ending(report, status) + render_facts(_facts(report, cost, status))


def render_sections(
    report: RunReport,
    status: RunStatus | None,
    details: RunDetails,
    figures: Sequence[Figure],
    gpu_choice: str = "",
) -> Iterator[str]:
    """Yield the sections of the report as HTML; `figures` are those of its GPUs, and `gpu_choice` stands above them."""
    yield render_section(
        "notes", notes_title(report).capitalize(), [_notes(details)] if details.places else []
    )
    story = draw_story(details.chapters)
    yield render_section("story", "What happened", [story, _restarts(status)] if story else [])
    training = list(draw_training(details.log)) if details.log else []
    yield render_section("training", "Training", training)
    yield render_section("gpus", "GPUs", [gpu_choice, *figures])
    estimate = draw_estimate(report)
    origins = [f"The {each.what} was {each.source}." for each in report.forecasts if each.source]
    yield render_section("estimate", "Estimate", [estimate, render_sentences(origins)] if estimate else [])
    yield render_section("each", "Each GPU", [_gpu_table(report)] if report.gpus else [])
    missing = render_sentences(_missing(report, status, details, training))
    yield render_section("unknown", "Not in this report", [missing] if missing else [])


def _ending(report: RunReport, status: RunStatus | None) -> str:
    """How the run ended, and the one thing to do about that."""
    state = status.state.state if status else report.state
    reason = status.state.reason if status else ""
    remedy = status.remedy if status else None
    text = f"<p>{render_state(state)}{f' {escape_prose(reason)}' if reason else ''}</p>"
    if remedy:
        text += (
            f'<div class="callout {kind_of_state(state)}"><strong>To go on:</strong> {escape_text(remedy.text)}'
            f'<pre tabindex="0">{escape_text(remedy.command)}</pre></div>'
        )
    elif status and status.continued_by:
        text += (
            f'<div class="callout">It goes on as <strong>{escape_text(status.continued_by)}</strong>.</div>'
        )
    return text


def _facts(
    report: RunReport, cost: RunCost | None, status: RunStatus | None
) -> Iterator[tuple[str, str, str]]:
    if status:
        yield from time_rows(status)
        yield from progress_rows(status)
        yield from checkpoint_rows(status)
    else:
        yield took_row(report)
    mean = report.mean("utilisation_mean")
    if mean is not None:
        yield "GPU utilisation", f"{mean:.0f} %", "mean of all GPUs and readings"
    yield from usage_rows(report, cost)
    if status:
        yield from node_rows(status)


def _restarts(status: RunStatus | None) -> str:
    rows = list(restart_rows(status)) if status else []
    shown = [(name.strip(), answer, remark) for name, answer, remark in rows[1:]]
    return render_table("Restarts", ("restart", "from", "why, and where"), shown) if shown else ""


def _notes(details: RunDetails) -> str:
    items = list[str]()
    for number, place in enumerate(details.places, 1):
        where = ""
        if place.chart:
            title = next(each.title for each in QUANTITIES if each.key == place.chart)
            where = f' <a href="#chart-{place.chart}">{escape_text(title)}, {escape_text(describe_place(place))}</a>'
        items.append(
            f'<li><span class="mark-number">{number}</span><span><strong>{escape_text(place.note.code)}</strong> '
            f"{escape_text(place.note.text)}{where}</span></li>"
        )
    return f'<ol class="notes">{"".join(items)}</ol>'


def _gpu_table(report: RunReport) -> str:
    names = name_each(report.gpus)
    shown = [
        each
        for each in DISPLAYS
        if each.title and any(gpu.metrics[each.column] is not None for gpu in report.gpus)
    ]
    has_types = len({gpu.name for gpu in report.gpus}) > 1
    header = ("GPU", *(["type"] if has_types else []), *(f"{each.title}, {each.unit}" for each in shown))
    rows = [
        (
            names[gpu.uuid],
            *([gpu.name or ""] if has_types else []),
            *(
                "" if (value := gpu.metrics[each.column]) is None else format_significant(value * each.scale)
                for each in shown
            ),
        )
        for gpu in report.gpus
    ]
    return render_table("Each GPU", header, rows, right=range(len(header) - len(shown), len(header)))


def _missing(
    report: RunReport, status: RunStatus | None, details: RunDetails, training: Sequence[Figure]
) -> Iterator[str]:
    """Say in a sentence each what is not known, in place of an empty chart."""
    known = details.course.values if details.course else {}
    if not known:
        why = f": {report.unsampled[0]}" if report.unsampled else ""
        yield f"No GPU was read{why}."
    elif absent := [each.title.lower() for each in QUANTITIES if each.key not in known]:
        yield f"Not read on these GPUs: {', '.join(absent)}."
    if not any(figure.key == "loss" for figure in training):
        yield "No loss by step: nothing the run printed or reported tells it."
    if not any(figure.key == "speed" for figure in training):
        yield "No speed by step: nothing the run printed or reported tells it."
    if not report.forecasts:
        yield "No estimate was made before this run."
    if status is None:
        yield "No attempts: this run was not submitted by clusterplan."


def _gpu_island(report: RunReport, details: RunDetails, figures: Sequence[Figure]) -> dict[str, Any] | None:
    """The lines of all GPUs, a byte per value, for the choice of one; None if each is drawn, or if they are too many."""
    course = details.course
    if course is None or len(report.gpus) <= 1:
        return None
    uuids = [gpu.uuid for gpu in report.gpus]
    axes = {figure.key: figure.unit_axis for figure in figures}
    if len(axes) * len(uuids) * course.parts > _MOST_ISLAND:
        return None
    values = dict[str, str]()
    for key, axis in axes.items():
        if axis:
            lines = [course.values[key].get(uuid, [None] * course.parts) for uuid in uuids]
            values[key] = base64.b64encode(bytes(pack_lines(lines, axis.low, axis.high))).decode()
    places = [float(format_place((part + 0.5) / course.parts * WIDE)) for part in range(course.parts)]
    return {"names": [*name_each(report.gpus).values()], "places": places, "values": values}
