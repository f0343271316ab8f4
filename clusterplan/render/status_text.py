"""The statuses of runs, as text and as JSON."""

from collections.abc import Sequence
from typing import Any

from ..cluster_profiles.units import format_duration, format_significant, plural
from ..estimator.gpu_use.notes import Note
from ..launcher.runs.state import OPEN_STATES, State
from ..launcher.runs.status import RunStatus
from .layout import Page, Style

NOTES_OF_S = (
    3600.0  # only the latest readings, so that a look at a run of days takes no longer than at a new run
)
_UNKNOWN = "-"
_CRASHES = (State.FAILED, State.OUT_OF_MEMORY)


def render_statuses(page: Page, statuses: Sequence[RunStatus], *, earlier: bool = False) -> None:
    """Print a line per run; `earlier` adds where the runs are listed that are left out."""
    if not statuses:
        page.line("no runs yet: `clusterplan submit JOB.toml` makes one")
        return
    rows = [(s.run, s.state.state, _steps(s), _time_left(s), _details(s)) for s in statuses]
    page.table(("run", "state", "steps", "ends in", ""), rows, right=(2, 3))
    if earlier:
        page.line("earlier runs: `clusterplan history list`")


def render_status(
    page: Page, status: RunStatus, notes: Sequence[Note] = (), checkpoint_note: str | None = None
) -> None:
    """Print everything that is known of one run, and the notes on its checkpoints and its GPUs."""
    rows = [("run", status.run, ""), ("state", status.state.state, status.state.reason)]
    if status.progress:
        loss, speed = status.progress.loss, status.progress.rate_steps_per_s
        rows.append(("steps", _steps(status), f"loss {format_significant(loss)}" if loss is not None else ""))
        if speed:
            rows.append(("speed", f"{format_significant(speed)} steps/s", ""))
        if _time_left(status) != _UNKNOWN:
            rows.append(("ends in", _time_left(status), "at the speed of the last five minutes"))
    if status.sweep:
        rows.append(("sweep", _sweep(status), ""))
    rows.append(("restarts", str(status.restarts), _preemptions(status)))
    if checkpoint_note:
        rows.append(("saved", "", checkpoint_note))
    if status.job:
        rows.append(("job", status.job, ""))
    rows.append(("folder", str(status.folder), ""))
    if status.state.state in _CRASHES:
        rows.append(("output", f"clusterplan logs {status.run}", ""))
    if status.state.state not in (*OPEN_STATES, State.COMPLETED):
        rows.append(("go on", resume_line(status.run), ""))
    page.facts(rows)
    if notes:
        page.line()
        page.line(f"notes on the last {format_duration(NOTES_OF_S)}", Style.BOLD)
        page.notes([(note.code, note.text) for note in notes])


def render_live(status: RunStatus, utilisation_percent: float | None = None) -> str:
    """Return one line for a run that is followed, with the utilisation of its GPUs."""
    parts = [status.state.state.value, status.state.reason]
    if status.progress:
        parts.append(f"step {_steps(status)}")
        if status.progress.rate_steps_per_s:
            parts.append(f"{format_significant(status.progress.rate_steps_per_s)} steps/s")
        if _time_left(status) != _UNKNOWN:
            parts.append(f"ends in {_time_left(status)}")
    if utilisation_percent is not None:
        parts.append(f"GPUs {utilisation_percent:.0f} % busy")
    return " | ".join(part for part in parts if part)


def run_as_json(status: RunStatus) -> dict[str, Any]:
    """Return the keys of one run; docs/reference/json.md describes them."""
    state, progress = status.state, status.progress
    return {
        "run": status.run,
        "state": state.state,
        "reason": state.reason,
        "exit_code": state.exit_code,
        "attempts": status.restarts + 1 if status.job else 0,
        "preemptions": status.preemptions,
        "job_id": status.job,
        "sweep": dict(status.sweep) or None,
        "steps_done": progress.steps_done if progress else None,
        "steps_total": progress.total if progress else None,
        "eta_s": progress.eta_s if progress and not state.final else None,
        "stale": state.stale,
        "known_at": state.known_at,
        "folder": str(status.folder),
    }


def resume_line(run: str) -> str:
    """Return the command that goes on with a run that has ended.

    >>> resume_line("ddp-20261125T130848-e744")
    'clusterplan resume ddp-20261125T130848-e744'
    """
    return f"clusterplan resume {run}"


def _steps(status: RunStatus) -> str:
    if not status.progress:
        return _UNKNOWN
    total = status.progress.total
    return f"{status.progress.steps_done:,}" + (f"/{total:,}" if total else "")


def _time_left(status: RunStatus) -> str:
    """Not of a run that waits, or whose heartbeat is old: when it goes on is not known."""
    eta_s = status.progress.eta_s if status.progress else None
    runs = status.state.state is State.RUNNING and not status.state.stale
    return format_duration(eta_s) if runs and eta_s is not None else _UNKNOWN


def _details(status: RunStatus) -> str:
    preemptions = f" ({_preemptions(status)})" if status.preemptions else ""
    restarts = plural(status.restarts, "restart") + preemptions if status.restarts else ""
    return "; ".join(part for part in (_sweep(status), status.state.reason, restarts) if part)


def _sweep(status: RunStatus) -> str:
    return ", ".join(f"{name} {value}" for name, value in status.sweep.items())


def _preemptions(status: RunStatus) -> str:
    return f"{status.preemptions} preempted" if status.preemptions else ""
