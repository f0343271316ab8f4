"""The runs: filtered, sorted, page by page."""

from collections.abc import Mapping
from typing import Any

from ...cluster_profiles.local_time import local_time_of_utc
from ...cluster_profiles.units import format_duration, format_significant
from ...launcher.runs.state import State
from ..answer import Answer
from ..api.answers import Request, read_run_page
from ..api.query import RUN_KEYS
from ..site import Site
from .frame import page
from .html import Html, Part, address_of, choice, field, link, run_address, state_mark, table, tag

_ROWS = 50
_COLUMNS = (
    ("run", "run"),
    ("user", "user"),
    ("state", "state"),
    ("began", "began"),
    ("took", "took"),
    ("gpus", "GPUs"),
    ("utilisation", "utilisation"),
    ("energy", "energy"),
)
_NUMBERS = (4, 5, 6, 7)


async def show_runs(site: Site, request: Request) -> Answer:
    """Answer the runs that match, with a form that filters them."""
    query = request.query
    query.check_keys((*RUN_KEYS, "offset"))
    offset = query.whole("offset", 0, 0, 10**8)
    found = await read_run_page(site, query.run_filter(), _ROWS, offset)
    kept = {key: query.get(key) for key in RUN_KEYS}
    rows = [_row(row) for row in found.rows]
    last = offset + len(rows)
    pages: list[Part] = []
    if offset:
        pages += [
            link(address_of("runs", **kept, offset=max(offset - _ROWS, 0)), "earlier in this list"),
            " ",
        ]
    if last < found.total:
        pages.append(link(address_of("runs", **kept, offset=last), "further runs"))
    shown = (
        f"{offset + 1:,} to {last:,} of {found.total:,}" if rows else "No run matches: empty fields show all."
    )
    return page(
        "Runs",
        "runs",
        _form(kept),
        tag("p", shown, " ", link(address_of("runs.json", **kept), "as JSON"), class_="quiet"),
        table("Runs", _header(kept), rows, _NUMBERS) if rows else None,
        tag("p", *pages),
        database=site.database,
    )


def _form(kept: Mapping[str, str | None]) -> Html:
    states = {"": "any", **{str(state): str(state) for state in State}}
    return tag(
        "form",
        field("name", "Run or name", kept["name"]),
        field("user", "User", kept["user"]),
        field("model", "Model", kept["model"]),
        field("partition", "Partition", kept["partition"]),
        field("gpu", "GPU type", kept["gpu"]),
        choice("state", "State", kept["state"], states),
        field("since", "Began since", kept["since"], hint="7d or 2026-11-01"),
        tag("p", tag("button", "Filter", type="submit"), " ", link("runs", "All")),
        class_="fields",
        action="runs",
    )


def _header(kept: Mapping[str, str | None]) -> list[Part]:
    """Each title sorts by its column, and the other way round if it does so already."""
    sort, order = kept["sort"] or "began", kept["order"] or "desc"
    cells: list[Part] = []
    for key, name in _COLUMNS:
        is_sorted = key == sort
        turned = "asc" if is_sorted and order == "desc" else "desc"
        arrow = (" ▼" if order == "desc" else " ▲") if is_sorted else ""
        cells.append(link(address_of("runs", **{**kept, "sort": key, "order": turned}), f"{name}{arrow}"))
    return cells


def _row(row: Mapping[str, Any]) -> list[Part]:
    return [
        link(run_address(row["run"]), row["run"]),
        row["user"] or "",
        state_mark(row["state"]),
        local_time_of_utc(row["began_utc"]) if row["began_utc"] else "",
        "" if row["seconds"] is None else format_duration(row["seconds"]),
        f"{row['gpus']:,}" if row["gpus"] else "",
        _amount(row["utilisation_mean"], "%"),
        _amount(row["energy_kwh"], "kWh"),
    ]


def _amount(value: float | None, unit: str) -> str:
    return "" if value is None else f"{format_significant(value)} {unit}"
