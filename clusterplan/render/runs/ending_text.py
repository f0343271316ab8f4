"""How a run ended or was started again, and what to do about it: rows for a page, lines after a log, and JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ...cluster_profiles.units import format_duration, join_names, plural
from ...launcher.logs.failure import Failure
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.state import OPEN_STATES, State

Row = tuple[str, str, str]
_MOST_RESTARTS = 5  # shown: the last ones
_MOST_NODES = 4  # named in a line
_CRASHES = (State.FAILED, State.OUT_OF_MEMORY)


def remedy_rows(status: RunStatus) -> list[Row]:
    """Return what to do about a run that does not go on by itself: the command, then why."""
    remedy = status.remedy
    rows = [("go on", remedy.command, ""), ("", "", remedy.text)] if remedy else []
    rows += (
        [("goes on", status.continued_by, "a new run, with a changed training")]
        if status.continued_by
        else []
    )
    crashed = status.state.state in _CRASHES and status.began_s is not None
    return [*rows, ("log", f"clusterplan logs {status.run}", "")] if crashed else rows


def restart_rows(status: RunStatus) -> Iterator[Row]:
    """Yield why the run was started again each time, from which step and where; nothing if it never was."""
    if not status.starts:
        return
    remarks = [f"{format_duration(status.waited_between_s)} between attempts"]
    remarks += [f"{status.preemptions} preempted"] if status.preemptions else []
    remarks += [f"the last {_MOST_RESTARTS}:"] if len(status.starts) > _MOST_RESTARTS else []
    yield "restarts", str(status.restarts), "; ".join(remarks)
    before = status.state.reason
    for start in status.starts[-_MOST_RESTARTS:]:
        step = "from step 0" if start.step is None else f"from step {start.step:,}"
        reason = "for the same reason" if start.reason in before else start.reason
        before = start.reason
        yield f"  {start.number:,}", step, f"{reason}; then on {join_names(start.nodes, _MOST_NODES)}"


def end_lines(status: RunStatus) -> list[str]:
    """Return how the run ended, or why it waits, and how it goes on: what stands below its log."""
    state, remedy = status.state, status.remedy
    if not state.reason and state.state in (State.COMPLETED, *OPEN_STATES):
        return []
    lines = [f"{status.run}: {state.state}" + (f", {state.reason}" if state.reason else "")]
    lines += [f"goes on as {status.continued_by}"] if status.continued_by else []
    return [*lines, f"go on: {remedy.command}", f"       {remedy.text}"] if remedy else lines


def describe_silence(status: RunStatus, others: Sequence[str]) -> str:
    """Return a line for a log that has nothing in it; `others` are the ranks that have printed something."""
    printed = "nothing was printed" if status.state.final else "nothing printed yet"
    elsewhere = f"; {plural(len(others), 'other log')}: --rank {join_names(others)}" if others else ""
    return f"{status.run}: {printed}{elsewhere}"


def ending_as_json(status: RunStatus | None) -> dict[str, Any]:
    """Return the keys that `status` and `report` share; all are null for a run that was not submitted."""
    remedy = status.remedy if status else None
    return {
        "nodes": list(status.nodes) if status else None,
        "failure": _failure(status.state.failure) if status else None,
        "restarts": [asdict(start) for start in status.starts] if status else None,
        "remedy": asdict(remedy) if remedy else None,
        "continued_by": status.continued_by if status else None,
    }


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "rank": failure.rank,
        "node": failure.node,
        "exit_code": failure.exit_code,
        "error": failure.error,
        "kind": failure.kind,
    }
