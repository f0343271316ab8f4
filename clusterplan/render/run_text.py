"""A run's report as a person reads it: the gauges first, then each GPU over time, then what to do."""

from collections.abc import Iterator

from ..cluster_profiles.units import format_duration, format_significant, plural
from ..estimator.gpu_use.cost import RunCost
from ..estimator.gpu_use.forecast import Forecast
from ..estimator.gpu_use.precision import is_same_precision
from ..estimator.gpu_use.report import GpuReport, RunReport
from .layout import Page, Style

_BLOCKS = " ▁▂▃▄▅▆▇█"
_GAUGE_WIDTH = 40
_NOT_KNOWN = "not known"


def one(page: Page, report: RunReport, cost: RunCost | None) -> None:
    """The whole report."""
    state = report.state if report.state != "running" else "still running; this is what it did so far"
    page.facts(
        [
            ("run", report.run, state),
            *_wait(report),
            (
                "took",
                _duration(report.seconds),
                f"from {report.started_utc} UTC" if report.started_utc else "",
            ),
            *_gpu_use(report, cost),
            *_precision(report),
        ]
    )
    if cost and cost.co2_kg is not None:
        of_site = f"with the site's PUE of {cost.pue:g}, " if cost.pue > 1 else ""
        page.facts([("CO2", _number(cost.co2_kg, "kg"), f"{of_site}intensity of {cost.rates_of}")])
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
        page.facts([(name, gauge(percent), what) for name, percent, what in _gauges(report)])
        page.line()
        page.table(
            ("node", "GPU", "busy", "memory peak", "power", "energy", "over time"),
            [_row(gpu) for gpu in report.gpus],
            right=(1, 2, 3, 4, 5),
        )
    page.line()
    page.line("notes", Style.BOLD)
    rows = [(note.code, note.text) for note in report.notes]
    if report.guessed:
        rows.append(("attribution", "which GPUs were the job's is a guess by position"))
    if report.coverage is not None:
        rows.append(("samples", f"{report.coverage:.1%} of those the period calls for are there"))
    if not report.notes and report.gpus:
        rows.insert(0, ("fine", "nothing stands out"))
    none = ": ".join(("no GPU was sampled", *report.unsampled[:1]))
    page.notes(rows or [("samples", none)])


def _wait(report: RunReport) -> Iterator[tuple[str, str, str]]:
    if report.waited_s and report.waited_s >= 1:
        yield "waited", _duration(report.waited_s), f"to begin, from {report.began_utc} UTC"


def _gpu_use(report: RunReport, cost: RunCost | None) -> Iterator[tuple[str, str, str]]:
    """Nothing of a run whose GPUs could not be read."""
    if not report.gpus:
        return
    gpus = plural(len(report.gpus), "GPU") + _cost(cost, "gpu_hours_cost")
    yield "GPU-hours", _number(report.gpu_hours), gpus
    counters = "of the GPUs alone, by their counters" + _cost(cost, "energy_cost")
    yield "energy", _number(report.energy_kwh, "kWh"), counters


def _precision(report: RunReport) -> Iterator[tuple[str, str, str]]:
    """A word where it is as planned; where it is not, a note says more, and what was not seen is not said."""
    if report.precision_seen and is_same_precision(report.precision_planned, report.precision_seen):
        yield "precision", str(report.precision_seen), "as planned, says its tracker"


def _gauges(report: RunReport) -> Iterator[tuple[str, float | None, str]]:
    """What is not measured has no gauge, but for utilisation."""
    yield "utilisation", report.utilisation_mean, "mean"
    for name, share in (("SMs", report.sm_active_mean), ("tensor cores", report.tensor_active_mean)):
        if share is not None:
            yield name, 100 * share, "mean share of the time they worked"
    gpus = report.gpus
    power = [g.power_mean_w / g.power_limit_w for g in gpus if g.power_mean_w and g.power_limit_w]
    memory = [g.memory_peak_bytes / g.memory_bytes for g in gpus if g.memory_peak_bytes and g.memory_bytes]
    if power:
        yield "power", 100 * sum(power) / len(power), "mean, of the limit"
    if memory:
        yield "memory", 100 * max(memory), "peak of the fullest GPU"


def _cost(cost: RunCost | None, name: str) -> str:
    amount = getattr(cost, name, None)
    if cost is None or amount is None:
        return ""
    at = f" at {cost.per_gpu_hour:g} an hour" if name == "gpu_hours_cost" else ""
    return f"; {format_significant(amount)} {cost.currency}{at}, rates of {cost.rates_of}"


def gauge(percent: float | None) -> str:
    """A bar of a share.

    >>> gauge(50)
    '[||||||||||||||||||||                      50%]'
    """
    if percent is None:
        return _NOT_KNOWN
    return f"[{'|' * round(percent / 100 * _GAUGE_WIDTH):<{_GAUGE_WIDTH}} {percent:3.0f}%]"


def sparkline(percents: tuple[float | None, ...]) -> str:
    """One block a value from 0 to 100 %; a dot where nothing was sampled.

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


def _row(gpu: GpuReport) -> tuple[str, ...]:
    memory = None if gpu.memory_peak_bytes is None else gpu.memory_peak_bytes / 2**30
    return (
        gpu.node,
        str(gpu.place),
        "" if gpu.utilisation_mean is None else f"{gpu.utilisation_mean:.0f}%",
        _number(memory, "GiB", ""),
        _number(gpu.power_mean_w, "W", ""),
        _number(None if gpu.energy_j is None else gpu.energy_j / 1000, "kJ", ""),
        sparkline(gpu.course),
    )


def _duration(seconds: float | None) -> str:
    return _NOT_KNOWN if seconds is None else format_duration(seconds)


def _number(value: float | None, unit: str = "", unknown: str = _NOT_KNOWN) -> str:
    return unknown if value is None else f"{format_significant(value)} {unit}".strip()
