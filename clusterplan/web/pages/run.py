"""One run: how it ended or how far it is, what stands out, its charts, and the ways on from it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from ...api.live.open_runs import read_open_runs, with_checkpoint
from ...api.report import Report
from ...api.reports.page import read_details
from ...api.reports.sweep import sweep_of_run
from ...errors import HistoryError
from ...estimator.history.browse.browser import HistoryBrowser
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.state import State
from ...render.pages.run_charts import draw_gpus
from ...render.pages.run_page import render_answer, render_sections
from ..answer import Answer
from ..api.answers import Request, read_report
from ..site import Site
from .frame import page
from .html import Html, Part, address_of, field, in_a_row, link, run_address, sweep_address, tag

_EVERY_S, _CHECKPOINT_EVERY_S = 10.0, 30.0


async def show_run(site: Site, request: Request) -> Answer:
    """Answer the page of a run; of one that goes on, its state is 10 s old at most, and its charts are as collected."""
    request.query.check_keys(())
    run = request.parts["run"]
    report = await read_report(site, run)
    live = None if report.status else await read_live(site, run)
    report = replace(report, status=report.status or live)
    charts = await site.read(("run page", run), draw_charts, report)
    return page(
        run,
        "runs",
        tag("p", report.name) if report.name and not run.startswith(report.name) else None,
        Html(render_answer(report, report.cost, report.status)),
        *([] if live is None else _going_on(live)),
        charts,
        render_ways_on(report, site.database),
        database=site.database,
    )


async def read_live(site: Site, run: str) -> RunStatus | None:
    """Return the status of a run that goes on, with its newest checkpoint; None if it does not, or cannot be read."""
    try:
        going_on = await site.recent("open runs", _EVERY_S, partial(read_open_runs, site.history))
    except HistoryError:  # the list of runs is not for this user; the history is
        return None
    status = going_on.get(run)
    if status is None or status.state.state is not State.RUNNING:
        return status
    key = f"checkpoint {run}"
    checkpoint = await site.recent(key, _CHECKPOINT_EVERY_S, partial(with_checkpoint, status))
    return replace(status, checkpoint=checkpoint.checkpoint)


def draw_charts(history: HistoryBrowser, report: Report) -> Html:
    """Return the sections of the report: notes, attempts, training, GPUs, estimate."""
    details = read_details(report, history)
    figures = list(draw_gpus(report, details))
    sections = Html("".join(render_sections(report, report.status, details, figures)))
    command = tag("p", "Command: ", tag("code", details.command)) if details.command else None
    return tag("div", sections, command)


def _going_on(status: RunStatus) -> list[Part]:
    """What may not be so, and where to look while the run goes on."""
    doubts = [tag("p", doubt, class_="callout", role="status") for doubt in status.doubts]
    ways = [link(run_address(status.run), "Look again")]
    if status.state.state is State.PENDING:
        ways.append(link("queue", "the queue"))
    return [*doubts, tag("p", in_a_row(ways), class_="quiet")]


def render_ways_on(report: Report, database: str) -> Html:
    """Return the form that compares the run with another, and the links to its values."""
    return tag(
        "section",
        tag("h2", "Further"),
        tag(
            "form",
            tag("input", type="hidden", name="first", value=report.run),
            field("second", "Compare with run", None, hint="its id"),
            tag("p", tag("button", "Compare", type="submit")),
            class_="fields",
            action="compare",
        ),
        tag("p", in_a_row(_links(report, database))),
    )


def _links(report: Report, database: str) -> Iterator[Html]:
    """What the run belongs to, and its values."""
    status = report.status
    if status and status.continued_by:
        yield link(run_address(status.continued_by), f"goes on as {status.continued_by}")
    if status and status.sweep:
        sweep = sweep_of_run(report.run)
        yield link(sweep_address(sweep), f"sweep {sweep}")
    if campaign := (status.facts.get("campaign") or {}).get("campaign") if status else None:
        yield link(address_of("schedule", campaign=campaign), f"campaign {campaign}")
    yield link(f"{run_address(report.run)}.json", "as JSON")
    yield link(address_of(f"/{database}/v_gpu_utilisation", run=report.run), "its GPUs as a table")
    yield link(address_of(f"/{database}/event", run=report.run), "its events")
