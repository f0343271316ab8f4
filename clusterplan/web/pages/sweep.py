"""The runs of a sweep side by side: the best first, their losses, their cost."""

from ...api.reports.sweep import SweepReport
from ...render.charts.figure import render_figure
from ...render.pages.sweep_page import NO_LOSSES, draw_cost, draw_losses
from ...render.runs.sweep_text import SWEEP_HEADER, describe_sweep, order_runs, sweep_cells
from ..answer import Answer
from ..api.answers import Request, read_sweep
from ..site import Site
from .frame import page
from .html import Html, join, link, prose, run_address, state_mark, sweep_address, table, tag


async def show_sweep(site: Site, request: Request) -> Answer:
    """Answer the page of a sweep."""
    request.query.check_keys(())
    report = await read_sweep(site, request.parts["sweep"])
    return page(f"Sweep {report.name}", "runs", await site.work(render_runs, report), database=site.database)


def render_runs(report: SweepReport) -> Html:
    """Return a row for each run, with a link to its page, then the charts."""
    ordered = order_runs(report.items)
    names = list(dict.fromkeys(key for run in ordered for key in run.status.sweep))
    rows = []
    for each in ordered:
        run, state, *cells = sweep_cells(each)
        values = [each.status.sweep.get(key, "") for key in names]
        rows.append([link(run_address(run), run), state_mark(state), *values, *cells])
    header = (*SWEEP_HEADER[:2], *names, *SWEEP_HEADER[2:])
    right = range(2 + len(names), len(header))
    losses, cost = draw_losses(ordered), draw_cost(ordered)
    return join(
        tag("p", describe_sweep(report.items)),
        *(tag("p", prose(fault), class_="callout") for fault in report.faults),
        tag("h2", "Runs, the best first"),
        table("Runs", header, rows, right),
        tag("p", link(f"{sweep_address(report.name)}.json", "as JSON")),
        tag("h2", "Losses"),
        Html(render_figure(losses)) if losses else tag("p", NO_LOSSES),
        [tag("h2", "Cost"), Html(render_figure(cost))] if cost else None,
    )
