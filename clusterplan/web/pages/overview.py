"""The overview: GPU-hours, utilisation and waste by user, model and partition, and how good estimates were."""

from collections.abc import Sequence

from ...api.history.accuracy import AccuracyReport
from ...cluster_profiles.units import format_significant
from ...estimator.history.browse.usage import Usage, sum_usage
from ...render.charts.bar_chart import Bar, draw_bars
from ...render.charts.figure import Figure, render_figure
from ..answer import Answer
from ..api.answers import Request, read_accuracy, read_usage
from ..site import Site
from .frame import page, terminal
from .html import Html, address_of, facts, join, link, state_mark, tag

_SPANS = {"7d": "7 days", "30d": "30 days", "": "all time"}


async def show_overview(site: Site, request: Request) -> Answer:
    """Answer the overview of runs that began in the chosen time."""
    query = request.query
    query.check_keys(("since",))
    since, since_s = query.get("since", ""), query.run_filter().since_s
    usage = await read_usage(site, since, since_s)
    accuracy = await read_accuracy(site, None)
    return await site.make(("overview", since), _render, usage, accuracy, since, site.database)


def _render(usage: Sequence[Usage], accuracy: AccuracyReport, since: str, database: str) -> Answer:
    spans = [
        tag("a", name, href=address_of("./", since=span), aria_current="true" if since == span else None)
        for span, name in _SPANS.items()
    ]
    return page(
        "Overview",
        "",
        tag("p", "Runs that began in: ", *(part for span in spans for part in (span, " ")), class_="quiet"),
        render_usage(usage),
        tag("h2", "How good estimates were"),
        terminal(accuracy),
        database=database,
    )


def render_usage(usage: Sequence[Usage]) -> Html:
    """Return the sums of all runs, and bars by user, model and partition."""
    if not usage:
        return tag("p", "No run yet: ", tag("code", "clusterplan submit JOB.toml"), " makes one.")
    (total,) = sum_usage(usage)
    states = [
        join(link(address_of("runs", state=each.state), state_mark(each.state or "")), f" {each.runs:,}  ")
        for each in sum_usage(usage, "state")
    ]
    figures = facts(
        [
            ("Runs", f"{total.runs:,}", None),
            ("GPU-hours", format_significant(total.gpu_hours), "in which GPUs were read"),
            ("Utilisation", _percent(total.utilisation_percent), "mean, by time"),
            (
                "Idle",
                _percent(None if total.idle_share is None else 100 * total.idle_share),
                f"{format_significant(total.idle_gpu_hours)} GPU-hours without work",
            ),
            ("Energy", f"{format_significant(total.energy_kwh)} kWh", "by the GPUs' counters"),
        ]
    )
    charts = [render_figure(_bars(usage, by)) for by in ("user", "model", "partition")]
    return join(figures, tag("p", *states), tag("h2", "GPU-hours"), *(Html(chart) for chart in charts))


def _bars(usage: Sequence[Usage], by: str) -> Figure:
    bars = [
        Bar(getattr(each, by) or "not known", each.gpu_hours, each.idle_share)
        for each in sum_usage(usage, by)
        if each.gpu_hours
    ]
    return draw_bars(f"by-{by}", f"By {by}", "GPU-hours", bars)


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{value:.0f} %"
