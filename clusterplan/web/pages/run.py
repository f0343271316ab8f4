"""One run: how it ended, what stands out, its GPUs over time, its estimate against what it took."""

from collections.abc import Sequence

from ...api.report import Report
from ...cluster_profiles.local_time import local_time_of_utc
from ...cluster_profiles.units import format_duration, format_significant
from ...render.charts.band_chart import Band, draw_band
from ...render.charts.figure import Figure, render_figure
from ...render.charts.range_chart import RangeRow, draw_range_rows
from ..answer import Answer
from ..api.answers import Request, read_report
from ..site import Site
from .frame import page, terminal
from .html import Html, address_of, facts, field, link, run_address, state_mark, tag

_WORST = 4


async def show_run(site: Site, request: Request) -> Answer:
    """Answer the page of a run."""
    request.query.check_keys(())
    run = request.parts["run"]
    report = await read_report(site, run)
    text = await site.read(("run page", run), lambda _: render_run(report, site.database))
    return page(run, "runs", text, database=site.database)


def render_run(report: Report, database: str) -> Html:
    """Return everything that is known of a run."""
    state = report.status.state.state if report.status else report.state
    figures = draw_run(report)
    return tag(
        "div",
        tag("p", state_mark(str(state)), " ", report.name or ""),
        facts(
            [
                ("Began", local_time_of_utc(report.began_utc) if report.began_utc else "not known", None),
                ("Took", "not known" if report.seconds is None else format_duration(report.seconds), None),
                ("GPU-hours", _amount(report.gpu_hours, ""), f"{len(report.gpus)} GPUs"),
                ("Utilisation", _amount(report.mean("utilisation_mean"), "%"), "mean of all GPUs"),
                ("Energy", _amount(report.energy_kwh, "kWh"), None),
            ]
        ),
        *(
            [tag("h2", "What stands out"), tag("ul", *(tag("li", note.text) for note in report.notes))]
            if report.notes
            else []
        ),
        *([tag("h2", "Over time"), *(Html(render_figure(figure)) for figure in figures)] if figures else []),
        tag("h2", "Report"),
        terminal(report),
        tag("h2", "Further"),
        tag(
            "form",
            tag("input", type="hidden", name="first", value=report.run),
            field("second", "Compare with run", None, hint="its id"),
            tag("p", tag("button", "Compare", type="submit")),
            class_="fields",
            action="compare",
        ),
        tag(
            "p",
            link(f"{run_address(report.run)}.json", "as JSON"),
            " · ",
            link(address_of(f"/{database}/v_gpu_utilisation", run=report.run), "its GPUs as a table"),
            " · ",
            link(address_of(f"/{database}/event", run=report.run), "its events"),
        ),
    )


def draw_run(report: Report) -> list[Figure]:
    """Return the utilisation of the GPUs over time, and the estimate against what the run took."""
    figures = []
    lines = [gpu.timeline for gpu in report.gpus]
    if report.seconds and lines and any(value is not None for line in lines for value in line):
        parts = len(lines[0])
        columns = [[value for line in lines if (value := line[i]) is not None] for i in range(parts)]
        band = Band(
            key="utilisation",
            title="Utilisation",
            unit="%",
            times_s=[report.seconds * (i + 0.5) / parts for i in range(parts)],
            lows=[min(column, default=None) for column in columns],
            means=[_mean(column) for column in columns],
            highs=[max(column, default=None) for column in columns],
            seconds=report.seconds,
            gpus=len(lines),
            worst=_worst(report) if len(lines) > 1 else (),
            full=100.0,
        )
        figures.append(draw_band(band))
    rows = [RangeRow(str(f.what), f.estimated, f.actual) for f in report.forecasts]
    if rows:
        figures.append(draw_range_rows("forecasts", "Estimate against what it took", rows))
    return figures


def _worst(report: Report) -> list[tuple[str, Sequence[float | None]]]:
    """The GPUs of the lowest utilisation, if there are others."""
    known = [gpu for gpu in report.gpus if gpu.metrics["utilisation_mean"] is not None]
    lowest = sorted(known, key=lambda gpu: gpu.metrics["utilisation_mean"] or 0.0)[
        : min(_WORST, len(known) - 1)
    ]
    return [(f"{gpu.node} GPU {gpu.index}", gpu.timeline) for gpu in lowest]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _amount(value: float | None, unit: str) -> str:
    return "not known" if value is None else f"{format_significant(value)} {unit}".strip()
