"""The statuses of runs, as text and as JSON."""

from collections.abc import Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from ...cluster_profiles.local_time import format_local_span, format_utc
from ...cluster_profiles.units import format_duration, format_significant, join_names, plural
from ...estimator.gpu_use.notes import Note
from ...estimator.stages.check import StageVerdict
from ...launcher.run_folder.checkpoints import Checkpoint
from ...launcher.runs.run_status import RunStatus
from ..layout import Page, Style
from ..state_styles import STATE_STYLES
from ..trials.stage_text import stage_rows
from .ending_text import Row, ending_as_json, remedy_rows, restart_rows
from .progress_text import UNKNOWN, alarms, ends_in, progress_as_json, progress_rows, steps_of, time_left

if TYPE_CHECKING:
    from ...launcher.forecast.waiting import Waiting

NOTES_OF_S = (
    3600.0  # only the latest readings, so that a look at a run of days takes no longer than at a new run
)
_LONGEST_REASON = 120  # characters, in a table; `status RUN` has all of it
_MOST_NODES = 4  # named in a line


def render_statuses(page: Page, statuses: Sequence[RunStatus], *, earlier: bool = False) -> None:
    """Print a line per run; `earlier` adds where the runs are listed that are left out."""
    if not statuses:
        page.line("no runs yet: `clusterplan submit JOB.toml` makes one")
        return
    page.mark(STATE_STYLES)
    users = {status.user for status in statuses}
    title, right = (("user",), (3, 4, 5)) if len(users) > 1 else ((), (2, 3, 4))
    page.table(
        ("run", *title, "state", "steps", "elapsed", "ends in", ""),
        [
            (
                s.run,
                *([s.user] if title else []),
                s.state.state,
                steps_of(s),
                _elapsed(s),
                ends_in(s),
                _details(s),
            )
            for s in statuses
        ],
        right=right,
    )
    if earlier:
        page.line("earlier runs: `clusterplan history list`")


def render_status(
    page: Page,
    status: RunStatus,
    notes: Sequence[Note] = (),
    checkpoint_note: str | None = None,
    verdict: StageVerdict | None = None,
    waiting: "Waiting | None" = None,
) -> None:
    """Print everything that is known of one run: how it waits, the verdict on a stage, the notes on its GPUs."""
    page.mark(STATE_STYLES)
    page.facts(
        [
            ("run", status.run, ""),
            ("state", status.state.state, status.state.reason),
            *_waiting_rows(waiting),
            *remedy_rows(status),
            *time_rows(status),
            *progress_rows(status),
            *stage_rows(status.facts, verdict),
            *_place_rows(status, checkpoint_note),
        ]
    )
    if notes:
        page.line()
        page.line(
            "notes" if status.state.final else f"notes on the last {format_duration(NOTES_OF_S)}", Style.BOLD
        )
        page.notes([(note.code, note.text) for note in notes])


def _waiting_rows(waiting: "Waiting | None") -> list[Row]:
    """Return when a pending run would start, and what would make it start sooner."""
    if waiting is None:
        return []
    from .waiting_text import waiting_rows  # noqa: PLC0415  the queue, for a pending run only

    return waiting_rows(waiting)


def waiting_as_json(waiting: "Waiting | None") -> dict[str, Any] | None:
    """Return the key `queue` of a run; None of one that does not wait in Slurm's queue."""
    if waiting is None:
        return None
    from .waiting_text import waiting_as_dict  # noqa: PLC0415  likewise

    return waiting_as_dict(waiting)


def _place_rows(status: RunStatus, checkpoint_note: str | None) -> list[Row]:
    rows = [("sweep", _sweep(status), "")] if status.sweep else []
    rows += checkpoint_rows(status, checkpoint_note)
    rows += node_rows(status)
    rows += restart_rows(status)
    rows += [("job", status.job, "")] if status.job else []
    rows.append(("folder", str(status.folder), ""))
    return rows


def node_rows(status: RunStatus) -> list[Row]:
    """Return the nodes of the last attempt, if it began."""
    name = "node" if len(status.nodes) == 1 else "nodes"
    return [(name, join_names(status.nodes, _MOST_NODES), "")] if status.nodes else []


def checkpoint_rows(status: RunStatus, note: str | None = None) -> list[Row]:
    """Return the newest checkpoint, if it was looked for, with its age and its path; `note` says why there is none."""
    checkpoint = status.checkpoint
    if checkpoint is None:
        return [("checkpoint", "none", note)] if note else []
    step = "saved" if checkpoint.step is None else f"step {checkpoint.step:,}"
    age = f"{format_duration(max(status.looked_s - checkpoint.changed_s, 0))} ago"
    return [("checkpoint", step, f"{age}, {checkpoint.path}" + (f"; {note}" if note else ""))]


def time_rows(status: RunStatus) -> list[Row]:
    """Return how long the run took so far or in all, and when that was."""
    if status.elapsed_s is None or status.began_s is None:
        return []
    end_s = status.state.known_at if status.state.final else None
    when = format_local_span(status.began_s, end_s, status.looked_s)
    return [("elapsed", format_duration(status.elapsed_s), when)]


def render_live(status: RunStatus, utilisation_percent: float | None = None) -> str:
    """Return one line for a run that is followed, with the utilisation of its GPUs."""
    parts = [status.state.state.value, status.state.reason]
    if status.progress:
        rate = status.progress.rate_steps_per_s
        parts.append(f"step {steps_of(status)}" + (f" at {format_significant(rate)}/s" if rate else ""))
    if left := time_left(status):
        first, last = left.seconds.p10, left.seconds.p90
        parts.append(f"{format_duration(first)} to {format_duration(last)} left")
    parts += alarms(status)
    if utilisation_percent is not None:
        parts.append(f"GPUs {utilisation_percent:.0f} % busy")
    return " | ".join(part for part in parts if part)


def run_as_json(status: RunStatus) -> dict[str, Any]:
    """Return the keys of one run; docs/reference/json.md describes them."""
    state = status.state
    return {
        "run": status.run,
        "state": state.state,
        "reason": state.reason,
        "exit_code": state.exit_code,
        "attempts": status.restarts + 1 if status.job else 0,
        "preemptions": status.preemptions,
        "job_id": status.job,
        "sweep": dict(status.sweep) or None,
        **progress_as_json(status),
        "stale": state.stale,
        "known_at": state.known_at,
        "began_utc": format_utc(status.began_s),
        "ended_utc": format_utc(state.known_at) if state.final else None,
        "elapsed_s": status.elapsed_s,
        **ending_as_json(status),
        "checkpoint": _checkpoint(status.checkpoint),
        "folder": str(status.folder),
    }


def _checkpoint(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    if checkpoint is None:
        return None
    return {"step": checkpoint.step, "path": checkpoint.path, "changed_utc": format_utc(checkpoint.changed_s)}


def _elapsed(status: RunStatus) -> str:
    return UNKNOWN if status.elapsed_s is None else format_duration(status.elapsed_s)


def _details(status: RunStatus) -> str:
    preemptions = f" ({_preemptions(status)})" if status.preemptions else ""
    restarts = plural(status.restarts, "restart") + preemptions if status.restarts else ""
    reason = status.state.reason
    if len(reason) > _LONGEST_REASON:
        reason = shorten(reason, _LONGEST_REASON, placeholder=" ...")
    return "; ".join(part for part in (*alarms(status), _sweep(status), reason, restarts) if part)


def _sweep(status: RunStatus) -> str:
    return ", ".join(f"{name} {value}" for name, value in status.sweep.items())


def _preemptions(status: RunStatus) -> str:
    return f"{status.preemptions} preempted" if status.preemptions else ""
