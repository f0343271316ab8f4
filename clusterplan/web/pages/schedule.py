"""The latest plan of a campaign against what happened: a bar per job planned, and one as it was."""

from functools import partial

from ...api.campaign.progress import CampaignProgress
from ...launcher.campaigns.record import read_campaign_records
from ...render.campaign.happened_chart import draw_happened
from ...render.campaign.progress import JOB_HEADER, head_rows, job_cells, progress_lines
from ...render.charts.figure import render_figure
from ..answer import Answer
from ..api.answers import CAMPAIGN_KEYS, NotFound, Request, read_campaign
from ..site import Site
from .frame import page
from .html import Html, Part, address_of, facts, join, link, prose, run_address, state_mark, table, tag

_EVERY_S = 10.0
_NUMBERS = (2, 5, 6)


async def show_schedule(site: Site, request: Request) -> Answer:
    """Answer the page of a campaign, by default the latest one."""
    request.query.check_keys(CAMPAIGN_KEYS)
    name = request.query.get("campaign")
    try:
        progress = await read_campaign(site, name)
    except NotFound as error:
        if name is not None:
            raise
        return page("Plan", "schedule", tag("p", prose(str(error)), role="status"), database=site.database)
    records, _ = await site.recent("campaigns", _EVERY_S, partial(read_campaign_records, site.history))
    names = dict.fromkeys(record.campaign for record in records)
    return page(
        f"Campaign {progress.record.campaign}",
        "schedule",
        _choice(list(names), progress.record.campaign) if len(names) > 1 else None,
        await site.work(render_schedule, progress),
        database=site.database,
    )


def _choice(names: list[str], shown: str) -> Html:
    links = [
        tag(
            "a",
            name,
            href=address_of("schedule", campaign=name),
            aria_current="true" if name == shown else None,
        )
        for name in names
    ]
    return tag("p", "Campaigns: ", *(part for each in links for part in (each, " ")), class_="quiet")


def render_schedule(progress: CampaignProgress) -> Html:
    """Return what is known of a campaign: when all end, what to do, the jobs over time, and a row for each."""
    (_, _, counts), *figures = head_rows(progress)
    lines = [tag("li", prose(line)) for line in progress_lines(progress)]
    rows = []
    for job in progress.record.jobs:
        name, state, *cells = job_cells(progress, job)
        shown: Part = link(run_address(job.folder.name), name) if job.folder else name
        rows.append([shown, state_mark(state), *cells])
    return join(
        tag("p", counts),
        facts(figures),
        tag("div", tag("ul", *lines), class_="callout") if lines else None,
        Html(render_figure(draw_happened(progress))),
        tag("h2", "Jobs, by their first plan"),
        table("Jobs", JOB_HEADER, rows, _NUMBERS),
        tag("p", link(address_of("schedule.json", campaign=progress.record.campaign), "as JSON")),
    )
