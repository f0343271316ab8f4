"""A pending run: when it would start, its place in line, and what would make it start sooner."""

from typing import Any

from ...cluster_profiles.units import format_duration, join_names
from ...estimator.queue.wait import Basis
from ...launcher.forecast.waiting import Waiting
from ..estimate.start_text import start_as_dict, start_rows
from .ending_text import Row

_AT_ONCE_S = 60.0


def waiting_rows(waiting: Waiting) -> list[Row]:
    """Return when a pending run would start, and what would make it start sooner."""
    start, forecast = waiting.start, waiting.start.forecast
    (name, answer, remark), *_ = start_rows(start)
    partition = join_names(start.request.partitions, between=" or ")
    remarks = [f"{remark} in partition {partition}"] if remark else []
    if forecast.corrected_by:
        remarks.append(f"corrected by {forecast.corrected_by} earlier forecasts")
    elif forecast.basis is Basis.LIMITS:
        remarks.append("by limits, usually sooner")
    if forecast.unplanned:
        remarks.append(f"{forecast.unplanned:,} of these jobs are left out, so it may be later")
    if start.hides_jobs:
        remarks.append("this site hides the jobs of others")
    rows = [(name, answer, "; ".join(remarks))]
    for i, way in enumerate(waiting.ways):
        wait = "now" if way.wait_s < _AT_ONCE_S else f"in {format_duration(way.wait_s)}"
        shorter = "; it has to end by then, or to resume afterwards" if way.shortens else ""
        rows.append(("" if i else "sooner", way.text, f"it would start {wait}{shorter}"))
    return rows


def waiting_as_dict(waiting: Waiting) -> dict[str, Any]:
    """Return the key `queue` of a run; docs/reference/json.md describes it."""
    sooner = [{"change": way.text, "wait_s": way.wait_s, "shortens": way.shortens} for way in waiting.ways]
    return {**start_as_dict(waiting.start), "sooner": sooner}
