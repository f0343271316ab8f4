"""How far a run is, how fast it goes and when it ends, as text and as JSON."""

import math
from dataclasses import asdict
from typing import Any

from ...cluster_profiles.local_time import format_local_range, format_local_time, format_utc
from ...cluster_profiles.units import MINUTE_S, ceil_div, format_duration, format_significant, plural
from ...estimator.eta.time_left import TimeLeft
from ...launcher.run_folder.progress.best_source import BAR, FILE, LOG
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.state import State
from .ending_text import Row

UNKNOWN = "-"
_SURE = 0.9  # as likely, a run is said to end before its time limit, or not to
_SOURCES = {FILE: "from the file of", LOG: "from the log of", BAR: "from the progress bar of"}
_SILENT_S = 300.0  # of a run that trains, after which it is said what would give its steps
_HOW_TO_TELL = "nothing it prints tells its steps: let it log them, or call `clusterplan.track` in its loop"


def progress_rows(status: RunStatus) -> list[Row]:
    """Return the steps, the loss, the speed, when it ends, and whether that is before its limit, as far as they are known."""
    progress = status.progress
    if not progress or (progress.time_left is None and not progress.source):
        return [*_steps_row(status), *_silence_row(status)]
    rows = _steps_row(status)
    if progress.stall:
        rows.append(("stalled", f"for {_stalled(status)}", _explain_stall(status)))
    if progress.rate_steps_per_s:
        speed = f"{format_significant(progress.rate_steps_per_s)} steps/s"
        rows.append(("speed", speed, describe_source(progress.source)))
    left = time_left(status)
    if left:
        first, last = status.looked_s + left.seconds.p10, status.looked_s + left.seconds.p90
        measured = "" if left.pace.measured_steps else ", as estimated"
        rows.append(
            (
                "ends in",
                format_duration(left.seconds.p50),
                format_local_range(first, last, status.looked_s) + measured,
            )
        )
        rows += _limit_rows(status, left)
    return rows if progress.source else [*rows, *_silence_row(status)]


def describe_source(source: str | None) -> str:
    """Return where the steps are known from.

    >>> describe_source("log:hf-trainer"), describe_source("track")
    ('from the log of hf-trainer', 'by track')
    """
    kind, _, name = (source or "").partition(":")
    return f"{_SOURCES[kind]} {name}" if kind in _SOURCES else f"by {kind}" if kind else ""


def steps_of(status: RunStatus) -> str:
    """Return the steps done, and in all if that is known."""
    if not status.progress:
        return UNKNOWN
    total = status.progress.total
    return f"{status.progress.steps_done:,}" + (f"/{total:,}" if total else "")


def time_left(status: RunStatus) -> TimeLeft | None:
    """Return the time left; not of a run that waits, or whose heartbeat is old: when it goes on is not known."""
    runs = status.state.state is State.RUNNING and not status.state.stale
    return status.progress.time_left if runs and status.progress else None


def ends_in(status: RunStatus) -> str:
    """Return the time left, at P50."""
    left = time_left(status)
    return format_duration(left.seconds.p50) if left else UNKNOWN


def alarms(status: RunStatus) -> list[str]:
    """Return what the user should look at now, in a few words each."""
    left = time_left(status)
    alarms = [f"stalled for {_stalled(status)}"] if status.progress and status.progress.stall else []
    if left and left.beats_limit is not None and left.beats_limit < 1 - _SURE:
        alarms.append("ends after its limit")
    return alarms


def progress_as_json(status: RunStatus) -> dict[str, Any]:
    """Return the keys of the progress; docs/reference/json.md describes them."""
    progress, left = status.progress, time_left(status)
    stall = progress.stall if progress else None
    loss = progress.loss if progress else None
    return {
        "steps_done": progress.steps_done if progress else None,
        "steps_total": progress.total if progress else None,
        "steps_per_s": progress.rate_steps_per_s if progress else None,
        "steps_source": progress.source if progress else None,
        "loss": loss if loss is None or math.isfinite(loss) else str(loss),
        "eta_s": left.seconds.p50 if left else None,
        "eta_range_s": asdict(left.seconds) if left else None,
        "limit_in_s": left.limits.left_s if left and left.beats_limit is not None else None,
        "beats_limit": left.beats_limit if left else None,
        "further_jobs": left.further_jobs if left else None,
        "stall": {
            "since_utc": format_utc(stall.since_s),
            "for_s": status.looked_s - stall.since_s,
            "limit_s": stall.limit_s,
        }
        if stall
        else None,
    }


def _steps_row(status: RunStatus) -> list[Row]:
    if not status.progress:
        return []
    loss = status.progress.loss
    return [("steps", steps_of(status), f"loss {format_significant(loss)}" if loss is not None else "")]


def _silence_row(status: RunStatus) -> list[Row]:
    """What would give the steps of a run that trains, and tells none."""
    trains = status.state.state is State.RUNNING and not status.state.stale
    if not trains or (status.elapsed_s or 0) < _SILENT_S:
        return []
    return [("speed", UNKNOWN, _HOW_TO_TELL)]


def _stalled(status: RunStatus) -> str:
    stall = status.progress.stall if status.progress else None
    return format_duration(status.looked_s - stall.since_s) if stall else ""


def _explain_stall(status: RunStatus) -> str:
    stall = status.progress.stall if status.progress else None
    if stall is None:
        return ""
    since = format_local_time(stall.since_s, status.looked_s)
    if stall.usual_s is None:
        return f"no step since it began at {since}: look at `clusterplan logs {status.run}`"
    usual = f"usually one comes every {format_duration(stall.usual_s)}"
    return f"no step since {since}, {usual}: look at `clusterplan logs {status.run}`"


def _limit_rows(status: RunStatus, left: TimeLeft) -> list[Row]:
    """Return whether the run ends before the time limit of its job, and what follows if it does not."""
    if left.beats_limit is None:
        return []
    limit = f"in {format_duration(left.limits.left_s)}"
    if left.beats_limit >= _SURE:
        return [("limit", limit, "it ends before")]
    chance = (
        "ends after it" if left.beats_limit < 1 - _SURE else f"{left.beats_limit:.0%} likely to end before"
    )
    if not left.limits.goes_on:
        way_on = f"it is told to save and end; `clusterplan resume {status.run}` then goes on"
        return [("limit", limit, f"{chance}: {way_on}")]
    jobs = plural(max(left.further_jobs, 1), "more job")
    more = ceil_div(math.ceil(left.work.p90 - left.limits.left_s), int(MINUTE_S))
    rows = [("limit", limit, f"{chance}: it saves, waits in the queue and goes on, {jobs}")]
    if status.job:
        longer = f"scontrol update JobId={status.job} TimeLimit=+{more}"
        rows.append(("", "", f"`{longer}` makes the limit later, where the site allows that"))
    return rows
