"""The estimate form: a what-if table over numbers of GPUs, and the scaling chart."""

import shlex

from ...api.estimate import Comparison, JobEstimate
from ...cluster_profiles.catalog import profile_paths
from ...cluster_profiles.units import HOUR_S
from ...errors import ClusterplanError
from ...estimator.ranges import Range
from ...render.charts.figure import render_figure
from ...render.charts.range_chart import ScalingPoint, draw_scaling
from ..answer import Answer
from ..api.answers import Request, estimate_job
from ..api.estimates import ESTIMATE_KEYS
from ..api.query import Query
from ..site import Site
from .frame import page, terminal
from .html import Html, address_of, choice, field, link, tag

_FIELDS = (
    ("samples", "Samples", "1,000,000"),
    ("batch_size", "Batch size per GPU", "32"),
    ("gpus", "GPUs, one or several", "1,2,4,8,16"),
    ("epochs", "Epochs", "1"),
    ("accumulation", "Gradient accumulation", "1"),
    ("model", "Model, for its measurements", ""),
    ("samples_per_s_per_gpu", "Samples/s per GPU, if known", "5.5"),
    ("parameters", "Parameters, if not measured", "2.7e9"),
    ("seq_len", "Tokens per sample", "2048"),
    ("precision", "Precision", "auto"),
    ("deadline", "Deadline", "2d or 2026-12-24"),
    ("budget", "Budget", "500 GPU-hours"),
)
_SHOWN = {name for name, _, _ in _FIELDS} | {"profile"}


async def show_estimate(site: Site, request: Request) -> Answer:
    """Answer the form, and below it the estimate of what it says."""
    query = request.query
    query.check_keys(ESTIMATE_KEYS)
    form = _form(query)
    if not query:
        return page("Estimate", "estimate", form, database=site.database)
    try:
        answer = await estimate_job(site, request)
    except ClusterplanError as error:
        alert = tag("p", str(error), class_="callout bad", role="alert")
        return page("Estimate", "estimate", form, alert, database=site.database, status=400)
    return page("Estimate", "estimate", form, await site.work(_render, answer, query), database=site.database)


def _form(query: Query) -> Html:
    profiles = {"": "none", **{name: name for name in sorted(profile_paths())}}
    others = [
        tag("input", type="hidden", name=name, value=value)
        for name, value in query.items()
        if name not in _SHOWN
    ]
    return tag(
        "form",
        *(field(name, label, query.get(name), hint=hint) for name, label, hint in _FIELDS),
        choice("profile", "Cluster", query.get("profile"), profiles),
        *others,
        tag("p", tag("button", "Estimate", type="submit")),
        class_="fields",
        action="estimate",
    )


def _render(answer: JobEstimate | Comparison, query: Query) -> Html:
    shapes = list(answer) if isinstance(answer, Comparison) else [answer]
    best = answer.best if isinstance(answer, Comparison) else None
    points = {
        each.placement.gpus: ScalingPoint(each.placement.gpus, _hours(each.clock.total), number == best)
        for number, each in enumerate(shapes)
        if each.clock.total
    }
    chart = (
        Html(
            render_figure(draw_scaling("scaling", "Wall-clock by number of GPUs", list(points.values()), "h"))
        )
        if len(points) > 1
        else None
    )
    flags = " ".join(f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in query.items())
    return tag(
        "div",
        tag("h2", "Answer"),
        terminal(answer),
        chart,
        tag("p", "The same on a terminal: ", tag("code", f"clusterplan estimate {flags}")),
        tag("p", link(address_of("estimate.json", **query), "as JSON")),
    )


def _hours(seconds: Range) -> Range:
    return Range(seconds.p10 / HOUR_S, seconds.p50 / HOUR_S, seconds.p90 / HOUR_S)
