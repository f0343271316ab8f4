"""The GPU types that runs used, beside what the catalogue says of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...cluster_profiles.gpu import read_gpus
from ...cluster_profiles.units import format_significant
from ..answer import Answer
from ..api.answers import Request
from ..site import Site
from .frame import page
from .html import Html, Part, address_of, join, link, table, tag

_GIB = 2**30


async def show_gpus(site: Site, request: Request) -> Answer:
    """Answer the GPU types of the history, and those of the catalogue."""
    request.query.check_keys(())
    used = await site.read("gpu types", lambda history: history.gpu_types())
    return await site.make("gpu types page", _render, used, site.database)


def _render(used: Sequence[Mapping[str, Any]], database: str) -> Answer:
    return page("GPU types", "gpus", render_types(used), database=database)


def render_types(used: Sequence[Mapping[str, Any]]) -> Html:
    """Return a table of the types that were used, and one of those that are known."""
    rows: list[list[Part]] = [
        [
            link(address_of("runs", gpu=each["name"]), each["name"] or "not known"),
            f"{each['gpus']:,}",
            f"{each['runs']:,}",
            _amount(each["memory_bytes"] and each["memory_bytes"] / _GIB, "GiB"),
            _amount(each["utilisation_mean"], "%"),
            _amount(each["power_mean_w"], "W"),
        ]
        for each in used
    ]
    known: list[list[Part]] = [
        [
            gpu.name,
            f"{format_significant(gpu.memory_bytes / _GIB)} GiB",
            f"{gpu.tdp_w:,.0f} W",
            f"{format_significant(gpu.bandwidth_bytes_per_s / 1e12)} TB/s",
            str(gpu.best_precision()),
        ]
        for gpu in read_gpus().values()
    ]
    return join(
        tag("h2", "Used"),
        table("Used", ("type", "GPUs", "runs", "memory", "utilisation", "power"), rows, (1, 2, 3, 4, 5))
        if rows
        else tag("p", "No GPU was read yet."),
        tag("h2", "Known"),
        table("Known", ("type", "memory", "power limit", "bandwidth", "precision of auto"), known, (1, 2, 3)),
    )


def _amount(value: float | None, unit: str) -> str:
    return "" if value is None else f"{format_significant(value)} {unit}"
