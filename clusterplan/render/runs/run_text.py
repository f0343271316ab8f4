"""A run's report as a person reads it: the gauges first, then each GPU over time, then what to do."""

from collections.abc import Iterator

from ...cluster_profiles.local_time import local_time_of_utc
from ...cluster_profiles.units import format_duration, format_significant, join_names, plural
from ...estimator.cost.run_cost import RunCost
from ...estimator.gpu_use.forecast import Forecast
from ...estimator.gpu_use.metrics import Display
from ...estimator.gpu_use.precision import is_same_precision
from ...estimator.gpu_use.reading import DISPLAYS
from ...estimator.gpu_use.report import EnergySource, GpuReport, RunReport
from ...launcher.runs.run_status import RunStatus
from ..layout import Page, Style
from ..state_styles import STATE_STYLES
from .ending_text import Row, remedy_rows, restart_rows
from .progress_text import progress_rows
from .status_text import node_rows, time_rows

_BLOCKS = " ▁▂▃▄▅▆▇█"
_GAUGE_WIDTH = 40
_UNKNOWN = "not known"
_TIMELINE = "over time"
_ENERGY_WORDS = {
    EnergySource.COUNTERS: "counters",
    EnergySource.POWER: "mean power, because they have no counter",
    EnergySource.POWER_LIMIT: "power limit, because their power cannot be read",
}


def render_report(
    page: Page, report: RunReport, cost: RunCost | None, status: RunStatus | None = None
) -> None:
    """Write the whole report on the page."""
    page.mark(STATE_STYLES)
    page.facts([*_head(report, status), *usage_rows(report, cost)])
    if report.forecasts:
        page.line()
        page.table(
            ("estimated", "P50", "P10 to P90", "was", ""),
            [_forecast(forecast) for forecast in report.forecasts],
            right=(1, 2, 3),
        )
        for forecast in report.forecasts:
            if forecast.source:
                page.sentence(f"the {forecast.what} was {forecast.source}")
    if report.gpus:
        page.line()
        page.facts(_gauges(report))
        page.line()
        _gpu_table(page, report)
    page.line()
    page.line(notes_title(report), Style.BOLD)
    page.notes(_notes(report))


def _head(report: RunReport, status: RunStatus | None) -> Iterator[Row]:
    """Yield how the run ended, what to do about that, and how far it got."""
    notes = f"{plural(len(report.notes), 'note')} below" if report.notes else ""
    if status:
        yield "run", report.run, notes
        yield "state", status.state.state, status.state.reason
        yield from remedy_rows(status)
    else:
        state = "still running: so far" if report.state == "running" else report.state
        yield "run", report.run, f"{state}; {notes}" if notes else state
    if report.waited_s and report.waited_s >= 1:
        yield "waited", _duration(report.waited_s), "before it began"
    if status:
        yield from time_rows(status)
        yield from progress_rows(status)
        yield from restart_rows(status)
        yield from node_rows(status)
    else:
        yield took_row(report)


def took_row(report: RunReport) -> Row:
    """Return how long a run took that was not submitted, and when it began."""
    began = f"from {local_time_of_utc(report.started_utc)}" if report.started_utc else ""
    return "took", _duration(report.seconds), began


def usage_rows(report: RunReport, cost: RunCost | None) -> list[Row]:
    """Return GPU-hours, energy, precision and CO2, as far as they are known."""
    return [*_gpu_use(report, cost), *_precision(report), *_co2(cost)]


def _gpu_use(report: RunReport, cost: RunCost | None) -> Iterator[tuple[str, str, str]]:
    """Yield GPU-hours and energy; nothing if no GPU could be read."""
    if not report.gpus:
        return
    gpu_types = join_names(dict.fromkeys(gpu.name for gpu in report.gpus if gpu.name))
    gpus = plural(len(report.gpus), "GPU") + (f", {gpu_types}" if gpu_types else "")
    yield "GPU-hours", _number(report.gpu_hours), gpus + _cost(cost, "gpu_hours_cost")
    most = "at most " if report.energy_source is EnergySource.POWER_LIMIT else ""
    origin = f"of the GPUs alone, by their {_ENERGY_WORDS[report.energy_source or EnergySource.COUNTERS]}"
    yield "energy", most + _number(report.energy_kwh, "kWh"), origin + _cost(cost, "energy_cost")


def _precision(report: RunReport) -> Iterator[tuple[str, str, str]]:
    """Yield the precision if the tracker saw the planned one; if it saw another, a note says more."""
    if report.precision_seen and is_same_precision(report.precision_planned, report.precision_seen):
        yield "precision", str(report.precision_seen), "as planned, says its tracker"


def _co2(cost: RunCost | None) -> Iterator[tuple[str, str, str]]:
    if cost and cost.co2_kg is not None:
        pue = f"with the site's PUE of {cost.pue:g}, " if cost.pue > 1 else ""
        yield "CO2", _number(cost.co2_kg, "kg"), f"{pue}intensity of {cost.rates_of}"


def _cost(cost: RunCost | None, name: str) -> str:
    amount = getattr(cost, name, None)
    if cost is None or amount is None:
        return ""
    price = f" at {cost.per_gpu_hour:g} an hour" if name == "gpu_hours_cost" else ""
    return f"; {format_significant(amount)} {cost.currency}{price}, rates of {cost.rates_of}"


def _gauges(report: RunReport) -> Iterator[tuple[str, str, str]]:
    """Yield a gauge per metric that was measured, and that of utilisation anyway."""
    for number, display in enumerate(DISPLAYS):
        share = report.gauge_share(display)
        if display.gauge and (share is not None or not number):
            yield display.title, gauge(None if share is None else share * 100), display.gauge.remark


def _gpu_table(page: Page, report: RunReport) -> None:
    """Write a row per GPU; a metric that no GPU has is left out."""
    measured = [s for s in DISPLAYS if any(gpu.metrics[s.column] is not None for gpu in report.gpus)]
    titles = [s.title for s in measured]
    page.table(
        ("node", "GPU", *titles, _TIMELINE),
        [_gpu_row(gpu, measured) for gpu in report.gpus],
        right=range(1, len(measured) + 2),
        first_to_go=[*reversed(titles), _TIMELINE],
    )


def _gpu_row(gpu: GpuReport, measured: list[Display]) -> tuple[str, ...]:
    values = (_value(gpu.metrics[display.column], display) for display in measured)
    return gpu.node, gpu.index, *values, sparkline(gpu.timeline)


def _value(value: float | None, display: Display) -> str:
    if value is None:
        return ""
    return (
        f"{value * display.scale:.0f}%"
        if display.unit == "%"
        else _number(value * display.scale, display.unit)
    )


def notes_title(report: RunReport) -> str:
    """Return the title of the notes; those on a long run that goes on are on its latest readings."""
    return f"notes on the last {format_duration(report.notes_of_s)}" if report.notes_of_s else "notes"


def _notes(report: RunReport) -> list[tuple[str, str]]:
    rows = [(note.code, note.text) for note in report.notes]
    if report.gpus and not rows:
        rows = [("fine", "nothing stands out")]
    if report.attribution_guessed:
        rows.append(("attribution", "the job's GPUs were guessed by their position"))
    if report.coverage is not None:
        rows.append(("readings", f"{report.coverage * 100:.1f} % of the readings due were taken"))
    reason = "".join(f": {text}" for text in report.unsampled[:1])
    return rows or [("readings", f"no GPU was sampled{reason}")]


def gauge(percent: float | None) -> str:
    """Return a bar of a share; that of more than 100 % is full.

    >>> gauge(50)
    '[||||||||||||||||||||                      50%]'
    """
    if percent is None:
        return _UNKNOWN
    filled = round(min(max(percent, 0), 100) / 100 * _GAUGE_WIDTH)
    return f"[{'|' * filled:<{_GAUGE_WIDTH}} {percent:3.0f}%]"


def sparkline(percents: tuple[float | None, ...]) -> str:
    """Return a block per value from 0 to 100 %, and a dot where nothing was sampled.

    >>> sparkline((0.0, 50.0, 100.0, None))
    ' ▄█.'
    """
    return "".join(
        "." if p is None else _BLOCKS[round(min(max(p, 0), 100) / 100 * (len(_BLOCKS) - 1))] for p in percents
    )


def _forecast(f: Forecast) -> tuple[str, str, str, str, str]:
    low, middle, high = (
        _duration(seconds) for seconds in (f.estimated.p10, f.estimated.p50, f.estimated.p90)
    )
    within = {None: "", True: "as estimated", False: "outside the estimate"}[f.inside]
    return f.what, middle, f"{low} to {high}", "" if f.actual is None else _duration(f.actual), within


def _duration(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else format_duration(seconds)


def _number(value: float | None, unit: str = "") -> str:
    return _UNKNOWN if value is None else f"{format_significant(value)} {unit}".strip()
