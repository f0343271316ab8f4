"""The state of runs as a person reads it."""

from collections.abc import Sequence
from typing import Any

from ..cluster_profiles.units import format_duration, format_significant, plural
from ..estimator.gpu_use.notes import Note
from ..launcher.runs.status import RunStatus
from .layout import Page, Style

NOTES_OF_S = 3600.0  # the latest, so that a look at a run of days costs what one at a new run does
_NOTHING = "-"


def listing(page: Page, found: Sequence[RunStatus], *, earlier: bool = False) -> None:
    """One line a run, and where the earlier ones are, if there are any."""
    if not found:
        page.line("no runs yet: `clusterplan submit JOB.toml` makes one")
        return
    rows = [(s.run, s.state.state, _steps(s), _eta(s), _why(s)) for s in found]
    page.table(("run", "state", "steps", "ends in", ""), rows, right=(2, 3))
    if earlier:
        page.line("earlier runs: `clusterplan history list`")


def one(page: Page, status: RunStatus, notes: Sequence[Note] = ()) -> None:
    """One run, with everything known, and what stands out of its GPUs."""
    rows = [("run", status.run, ""), ("state", status.state.state, status.state.reason)]
    if status.progress:
        loss = status.progress.loss
        rows.append(("steps", _steps(status), f"loss {format_significant(loss)}" if loss is not None else ""))
        if status.progress.rate_steps_per_s:
            rows.append(("speed", f"{format_significant(status.progress.rate_steps_per_s)} steps/s", ""))
        if _eta(status) != _NOTHING:
            rows.append(("ends in", _eta(status), "at the speed of the last five minutes"))
    if status.sweep:
        rows.append(("sweep", _swept(status), ""))
    rows.append(("restarts", str(status.restarts), _preempted(status)))
    if status.job:
        rows.append(("job", status.job, ""))
    rows.append(("folder", str(status.folder), ""))
    page.facts(rows)
    if notes:
        page.line()
        page.line(f"notes on the last {format_duration(NOTES_OF_S)}", Style.BOLD)
        page.notes([(note.code, note.text) for note in notes])


def live(status: RunStatus, busy_percent: float | None = None) -> str:
    """The same in a line, for while it runs, with how busy its GPUs are."""
    parts = [status.state.state.value, status.state.reason]
    if done := status.progress:
        parts.append(f"step {_steps(status)}")
        if done.rate_steps_per_s:
            parts.append(f"{format_significant(done.rate_steps_per_s)} steps/s")
        if done.eta_s is not None:
            parts.append(f"ends in {_eta(status)}")
    if busy_percent is not None:
        parts.append(f"GPUs {busy_percent:.0f} % busy")
    return " | ".join(part for part in parts if part)


def as_json(status: RunStatus) -> dict[str, Any]:
    """The keys of one run; docs/reference/json.md describes them."""
    state, done = status.state, status.progress
    return {
        "run": status.run,
        "state": state.state,
        "reason": state.reason,
        "exit_code": state.exit_code,
        "attempts": status.restarts + 1 if status.job else 0,
        "preemptions": status.preemptions,
        "job_id": status.job,
        "sweep": dict(status.sweep) or None,
        "steps_done": done.steps_done if done else None,
        "steps_total": done.total if done else None,
        "eta_s": done.eta_s if done and not state.final else None,
        "stale": state.stale,
        "known_at": state.known_at,
        "folder": str(status.folder),
    }


def _steps(status: RunStatus) -> str:
    if not status.progress:
        return _NOTHING
    total = status.progress.total
    return f"{status.progress.steps_done:,}" + (f"/{total:,}" if total else "")


def _eta(status: RunStatus) -> str:
    eta_s = status.progress.eta_s if status.progress and not status.state.final else None
    return _NOTHING if eta_s is None else format_duration(eta_s)


def _why(status: RunStatus) -> str:
    again = plural(status.restarts, "restart") if status.restarts else ""
    again += f" ({taken})" if again and (taken := _preempted(status)) else ""
    return "; ".join(part for part in (_swept(status), status.state.reason, again) if part)


def _swept(status: RunStatus) -> str:
    return ", ".join(f"{name} {value}" for name, value in status.sweep.items())


def _preempted(status: RunStatus) -> str:
    return f"{status.preemptions} preempted" if status.preemptions else ""
