"""When shapes would start and end, as text and as JSON."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...cluster_profiles.local_time import format_local_time, format_utc
from ...cluster_profiles.units import format_duration, plural, slurm_time
from ...estimator.queue.shape_start import ShapeStart
from ...estimator.queue.wait import Basis
from ...estimator.ranges import Range

if TYPE_CHECKING:
    from ...estimator.queue.state import Request

Row = tuple[str, str, str]
_NOW, _NEVER, _UNKNOWN = "now", "never", "unknown"
_SHORTEST_HOLE_S = 600.0  # that is worth a job
_LONGEST_TAIL_S = 60.0  # a wait that counts as none


def start_rows(start: ShapeStart) -> list[Row]:
    """Return the start, the end and the hole of one shape, as rows of name, answer and remark."""
    forecast = start.forecast
    if start.refusal:
        return [("starts", _NEVER, start.refusal)]
    if forecast.by_limits_s is None:
        return [
            (
                "starts",
                _NEVER,
                f"as far as Slurm shows its queue: {_describe(start.request)} do not become free",
            )
        ]
    rows = [("starts", _starts_in(start), _start_remark(start))]
    if start.end_s is not None and start.ends_s:
        waits = plural(start.jobs, "wait") if start.jobs > 1 else "the wait"
        remark = f"{_between(start.ends_s)} from now, with {waits} in the queue"
        rows.append(("ends", format_local_time(start.end_s, start.now_s), remark))
    return [*rows, *hole_rows(start)]


def hole_rows(start: ShapeStart) -> list[Row]:
    """Return for how long the GPUs are free now, and what would use that; nothing if the job starts anyway."""
    hole_s, request = start.forecast.hole_s, start.request
    if not hole_s or (hole_s < _SHORTEST_HOLE_S and not start.is_free_now):
        return []
    gpus = plural(request.nodes * request.gpus, "GPU")
    if math.isinf(hole_s):
        return [("free now", gpus, "and nobody has asked for them")]
    remark = "which is longer than its limit"
    if start.is_free_now and request.limit_s > hole_s:
        remark = "so --time-min lets Slurm start it there with a shorter limit; the run goes on afterwards"
    elif not start.is_free_now:
        remark = f"a job of that length would start now: --time {_whole_minutes(hole_s)}; a run that resumes goes on afterwards"
    return [("free now", f"{gpus} for up to {format_duration(hole_s)}", remark)]


def start_columns(starts: Sequence[ShapeStart]) -> dict[str, list[str]]:
    """Return the cells of a table of shapes, by title."""
    if not starts:
        return {}
    return {
        "starts in": [_starts_in(start) for start in starts],
        "ends": [
            format_local_time(start.end_s, start.now_s) if start.end_s is not None else "" for start in starts
        ],
    }


def ends_line(starts: Sequence[ShapeStart], names: Sequence[str]) -> str | None:
    """Return which shape ends first, and when the others do; None if no end is known."""
    ends = sorted(
        (start.end_s, names[i], start.now_s) for i, start in enumerate(starts) if start.end_s is not None
    )
    if not ends:
        return None
    first, *later = [f"{name}, {format_local_time(end_s, now_s)}" for end_s, name, now_s in ends]
    return f"ends first: {first}" + (f"; then {'; '.join(later)}" if later else "")


def start_lines(starts: Sequence[ShapeStart], names: Sequence[str]) -> list[str]:
    """Return the holes, and what the starts rest on: sentences below the table."""
    if not starts:
        return []
    lines = []
    for name, start in zip(names, starts, strict=True):
        lines += [f"{name}: {start.refusal}"] if start.refusal else []
        lines += [
            f"{what}: {answer}, {remark}"
            for what, answer, remark in hole_rows(start)
            if not start.is_free_now
        ]
    return [*lines, *basis_lines(starts)]


def basis_lines(starts: Sequence[ShapeStart]) -> list[str]:
    """Return what forecasts of the start rest on, and what they leave out."""
    first = starts[0]
    lines = ["starts count a new job as the last in line, and no job that comes later"]
    if first.forecast.basis is Basis.USAGE:
        lines.append("starts are by what the jobs of the last two days used of their limits")
    else:
        lines.append(
            "starts are by limits, so usually too late: no accounting says how much of them jobs use"
        )
    if corrected := max(start.forecast.corrected_by for start in starts):
        lines.append(f"starts are corrected by what came of the last {corrected} forecasts")
    if unplanned := max(start.forecast.unplanned for start in starts):
        lines.append(
            f"the line is long: its last {plural(unplanned, 'job')} before yours are left out, so it may be later"
        )
    if first.hides_jobs:
        taken = (
            f", and {plural(first.hidden_gpus, 'GPU')} of theirs count as taken until the partition's limit"
        )
        lines.append(
            f"this site hides the jobs of others: those in line are not counted{taken if first.hidden_gpus else ''}"
        )
    if any(start.jobs > 1 for start in starts):
        lines.append("each further job of a run counts as long a wait as its first one")
    return lines


def start_as_dict(start: ShapeStart) -> dict[str, Any]:
    """Return the keys of `start` in `estimate --json`; docs/reference/json.md describes them."""
    forecast = start.forecast
    return {
        "start_utc": format_utc(start.start_s),
        "end_utc": format_utc(start.end_s),
        "wait_s": _range(forecast.wait_s),
        "wait_by_limits_s": forecast.by_limits_s,
        "end_in_s": _range(start.ends_s),
        "free_now": forecast.hole_s > 0,
        "free_now_for_s": None if math.isinf(forecast.hole_s) else forecast.hole_s,
        "jobs_before": forecast.before,
        "jobs_left_out": forecast.unplanned,
        "basis": forecast.basis,
        "corrected_by_runs": forecast.corrected_by,
        "hides_jobs": start.hides_jobs,
        "refusal": start.refusal,
    }


def _starts_in(start: ShapeStart) -> str:
    expected_s = start.forecast.expected_s
    if start.start_s is None or expected_s is None:
        return _NEVER
    return _NOW if expected_s < _LONGEST_TAIL_S else format_duration(expected_s)


def _start_remark(start: ShapeStart) -> str:
    forecast, at_s = start.forecast, start.start_s or 0.0
    if start.is_free_now:
        return ""
    parts = [format_local_time(at_s, start.now_s)]
    if forecast.wait_s:
        parts.append(f"{_between(forecast.wait_s)} from now")
    if forecast.wait_s and forecast.by_limits_s is not None and not forecast.corrected_by:
        parts.append(f"{format_duration(forecast.by_limits_s)} by limits")
    parts.append(f"{plural(forecast.before, 'job')} before it" if forecast.before else "first in line")
    return ", ".join(parts)


def _between(seconds: Range) -> str:
    return f"{format_duration(seconds.p10)} to {format_duration(seconds.p90)}"


def _describe(request: "Request") -> str:
    return f"{plural(request.nodes, 'node')} with {plural(request.gpus, 'GPU')} each"


def _whole_minutes(seconds: float) -> str:
    return slurm_time(int(seconds // 60) * 60)


def _range(amount: Range | None) -> dict[str, float] | None:
    return {"p10": amount.p10, "p50": amount.p50, "p90": amount.p90} if amount else None
