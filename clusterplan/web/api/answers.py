"""The JSON of the API: the same values as those of the command line with `--json`."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...api.campaign.progress import CampaignProgress, look_at_campaign
from ...api.history.accuracy import AccuracyReport
from ...api.report import Report, report_in
from ...api.reports.sweep import SweepReport, sweep_in
from ...cluster_profiles.units import MINUTE_S
from ...errors import InputError
from ...estimator.history.browse.browser import HistoryBrowser, RunFilter, RunPage
from ...estimator.history.browse.usage import Usage
from ...launcher.run_folder.final_status import has_final_status
from ...launcher.run_folder.folder import links_folder
from ..access.gate import HOME
from ..answer import Answer, json_answer
from ..collector import EVERY_S
from ..site import Site
from .estimates import ESTIMATE_KEYS, estimate_shapes, parse_job, read_measurements, read_shapes
from .openapi import describe_api
from .query import RUN_KEYS, Query

MOST_RUNS = 1000
_RUNS = 100
_LOOKED_S = 10.0
CAMPAIGN_KEYS = ("campaign",)


class NotFound(InputError):  # noqa: N818  HTTP's own name
    """What an address names is not there."""


@dataclass(frozen=True)
class Request:
    """A request: the query of its address, the parts of its path by name, and the body of a POST."""

    query: Query
    parts: Mapping[str, str]
    body: bytes | None = None


Handler = Callable[[Site, Request], Awaitable[Answer]]


async def runs(site: Site, request: Request) -> Answer:
    """Answer runs, the latest first, as `clusterplan history list --json`; `Link` has the address of the next ones."""
    query = request.query
    query.check_keys((*RUN_KEYS, "limit", "offset"))
    limit = query.whole("limit", _RUNS, 1, MOST_RUNS)
    page = await read_run_page(site, query.run_filter(), limit, query.whole("offset", 0, 0, 10**8))
    answer = json_answer(page.rows)
    return Answer(answer.status, answer.body, answer.media_type, {"x-total-count": str(page.total)})


async def run(site: Site, request: Request) -> Answer:
    """Answer the report on a run, as `clusterplan report RUN --json`."""
    request.query.check_keys(())
    return json_answer((await read_report(site, request.parts["run"])).as_dict())


async def accuracy(site: Site, request: Request) -> Answer:
    """Answer how good estimates were, as `clusterplan history accuracy --json`."""
    request.query.check_keys(("model",))
    return json_answer((await read_accuracy(site, request.query.get("model"))).as_dict())


async def sweep(site: Site, request: Request) -> Answer:
    """Answer the runs of a sweep side by side, as `clusterplan report SWEEP --json`."""
    request.query.check_keys(())
    return json_answer((await read_sweep(site, request.parts["sweep"])).as_dict())


async def schedule(site: Site, request: Request) -> Answer:
    """Answer the plan of a campaign against what happened, with the keys of `clusterplan schedule --replan --json`."""
    request.query.check_keys(CAMPAIGN_KEYS)
    return json_answer((await read_campaign(site, request.query.get("campaign"))).as_dict())


async def estimate(site: Site, request: Request) -> Answer:
    """Answer an estimate, as `clusterplan estimate --json`: of flags, or of a job with flags on top."""
    request.query.check_keys(ESTIMATE_KEYS)
    return json_answer((await estimate_job(site, request)).as_dict())


async def openapi(site: Site, request: Request) -> Answer:  # noqa: ARG001
    """Answer what this API has, as OpenAPI 3.1."""
    return json_answer(describe_api())


async def nothing(site: Site, request: Request) -> Answer:  # noqa: ARG001
    """Answer any other address.  Raises NotFound."""
    raise NotFound(f"{HOME}{request.parts['other'][:200]} does not exist: {HOME} links to every page")


async def read_run_page(site: Site, wanted: RunFilter, limit: int, offset: int) -> RunPage:
    """Return some runs that match, and how many do."""
    return await site.read(
        ("runs", wanted, limit, offset), lambda history: history.run_page(wanted, limit, offset)
    )


async def read_report(site: Site, run: str) -> Report:
    """Return the report on a run.  Raises NotFound."""

    def question(history: HistoryBrowser, *_: object) -> Report:
        if not history.has_run(run):
            raise NotFound(f"run {run[:200]!r} is not in the history")
        return report_in(history, run, asks_slurm=False)

    # The end of a run is in its folder before the history has it.
    folder = links_folder(site.history) / run
    has_ended = await site.recent(("ended", run), 0.0, partial(has_final_status, folder))
    return await site.read(("report", run), question, has_ended)


async def read_usage(site: Site, since: str = "", since_s: float | None = None) -> Sequence[Usage]:
    """Return the use of GPUs by the runs that began since a Unix time, which `since` says in words such as 7d."""
    # "7d" moves on with the clock.
    key = "usage", since, None if since_s is None else since_s // EVERY_S
    return await site.read(key, lambda history: history.usage(since_s))


async def read_accuracy(site: Site, model: str | None) -> AccuracyReport:
    """Return how good the estimates of ended runs were."""
    return await site.read(
        ("accuracy", model), lambda history: AccuracyReport(**vars(history.accuracy(model)))
    )


async def read_campaign(site: Site, campaign: str | None) -> CampaignProgress:
    """Return a campaign as it was within the last 10 s, by default the latest.  Raises NotFound."""
    try:
        return await site.recent(
            ("campaign", campaign),
            _LOOKED_S,
            partial(look_at_campaign, site.history, campaign),
        )
    except InputError as error:
        raise NotFound(str(error)) from None


async def read_sweep(site: Site, name: str) -> SweepReport:
    """Return the runs of a sweep as they were within the last 10 s.  Raises NotFound."""
    try:
        return await site.recent(("sweep", name), _LOOKED_S, partial(sweep_in, site.history, name))
    except InputError as error:
        raise NotFound(str(error)) from None


async def estimate_job(site: Site, request: Request) -> Any:
    """Return the estimates that a request asks for."""
    job = {} if request.body is None else parse_job(request.body)
    workload, gpus, precisions = await site.work(read_shapes, request.query, job)
    measured = await site.read(
        ("measurements", workload.model), lambda history: read_measurements(history, workload.model)
    )
    bounds = {name: request.query[name] for name in ("deadline", "budget", "keep") if name in request.query}
    minute = time.time() // MINUTE_S  # a deadline comes nearer
    key = "estimate", minute, tuple(sorted(request.query.items())), request.body
    return await site.make(key, estimate_shapes, workload, gpus, precisions, bounds, measured)
