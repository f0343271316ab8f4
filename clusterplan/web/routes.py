"""The addresses under `/-/clusterplan/`, and what answers each; an error is one line, as JSON where JSON is asked for."""

from collections.abc import Mapping
from http import HTTPStatus
from re import escape
from types import MappingProxyType

from ..errors import (
    ClusterplanError,
    HistoryError,
    InputError,
    NotEnoughHistory,
    PackageMissing,
    SlurmUnavailable,
)
from .access.gate import HOME
from .answer import Answer, error_answer
from .api import answers as api
from .api import metrics
from .api.answers import Handler, NotFound, Request
from .api.query import Query
from .pages import compare, estimate, gpus, overview, queue, run, runs, schedule, sweep
from .site import Site

_HANDLERS: Mapping[str, tuple[str, Handler]] = MappingProxyType(
    {
        "runs.json": ("runs.json", api.runs),
        "run.json": ("run/(?P<run>[^/]+)\\.json", api.run),
        "sweep.json": ("sweep/(?P<sweep>[^/]+)\\.json", api.sweep),
        "accuracy.json": ("accuracy.json", api.accuracy),
        "schedule.json": ("schedule.json", api.schedule),
        "estimate.json": ("estimate.json", api.estimate),
        "openapi.json": ("openapi.json", api.openapi),
        "metrics": ("metrics", metrics.metrics),
        "overview": ("", overview.show_overview),
        "runs": ("runs", runs.show_runs),
        "run": ("run/(?P<run>[^/]+)", run.show_run),
        "sweep": ("sweep/(?P<sweep>[^/]+)", sweep.show_sweep),
        "compare": ("compare", compare.show_comparison),
        "estimate": ("estimate", estimate.show_estimate),
        "schedule": ("schedule", schedule.show_schedule),
        "queue": ("queue", queue.show_queue),
        "gpus": ("gpus", gpus.show_gpus),
        "other.json": ("(?P<other>.*)", api.nothing),
    }
)
_STATUS: tuple[tuple[type[ClusterplanError], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (InputError, HTTPStatus.BAD_REQUEST),
    (NotEnoughHistory, HTTPStatus.UNPROCESSABLE_ENTITY),
    (HistoryError, HTTPStatus.SERVICE_UNAVAILABLE),
    (SlurmUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (PackageMissing, HTTPStatus.SERVICE_UNAVAILABLE),
)
ROUTES = {
    name: f"^{escape(HOME)}{pattern if '(' in pattern else escape(pattern)}$"
    for name, (pattern, _) in _HANDLERS.items()
}


async def answer_request(
    site: Site, name: str, parts: Mapping[str, str], query: str, body: bytes | None
) -> Answer:
    """Return the answer of a route to a request; `body` is None but for a POST."""
    _, handler = _HANDLERS[name]
    try:
        return await handler(site, Request(Query(query), parts, body))
    except ClusterplanError as error:
        status = next(
            (status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR
        )
        return error_answer(status, str(error), as_json=name.endswith(".json"))
