"""Runs of a job that is tried first: a probe, and a stage that waits for the one before it."""

from collections.abc import Sequence
from dataclasses import replace

from ...run_folder.cancel_request import CancelRequest
from ...run_folder.records.run_facts import RunFacts
from ...run_folder.stages.order import RunOrder
from ...run_folder.stages.stage import RunStage
from ...run_folder.task_records import TaskRecord
from ..state import RunState, State

_BEFORE_ITS_START = (State.PENDING, State.CANCELLED, State.LOST)
_PROBE = "a probe of `clusterplan calibrate`"


def with_trial(
    state: RunState, facts: RunFacts, tasks: Sequence[TaskRecord], request: CancelRequest | None
) -> RunState:
    """Return the state of a run with what it means for a probe, or for a stage that has not begun.

    `request` is that to cancel it.
    """
    if facts.get("probe") and state.state is State.CANCELLED:
        reason = request.reason if request else ""
        return replace(state, reason=f"{_PROBE}: {reason}" if reason else f"{_PROBE} that was stopped")
    if order := RunOrder.of(facts):
        return _in_order(state, order, tasks)
    return _with_stage_before(state, facts, tasks)


def _in_order(state: RunState, order: RunOrder, tasks: Sequence[TaskRecord]) -> RunState:
    """Return the state of a run of a campaign that has not begun, with what the runs that it waits for mean to it."""
    if any(task.state != "waiting" for task in tasks) or state.state not in _BEFORE_ITS_START:
        return state
    if why_not := order.why_not():
        return replace(state, state=State.CANCELLED, reason=why_not, stale=False)
    waits = order.open_runs(on_slurm=False)
    if state.state is State.PENDING and waits:
        more = f" and {len(waits) - 1} more" if waits[1:] else ""
        return replace(state, reason=f"waiting for run {waits[0].name}{more} to end")
    return state


def _with_stage_before(state: RunState, facts: RunFacts, tasks: Sequence[TaskRecord]) -> RunState:
    """Return the state of a run that has not begun, with what the stage before it means to it.

    Slurm cancels a job whose `afterok` cannot come true any more, and forgets why.
    """
    stage = RunStage.of(facts)
    has_begun = any(task.state != "waiting" for task in tasks)
    if stage is None or stage.before is None or has_begun or state.state not in _BEFORE_ITS_START:
        return state
    if why_not := stage.why_not():
        return replace(state, state=State.CANCELLED, reason=why_not, stale=False)
    if state.state is State.PENDING and not stage.has_passed_before:
        return replace(state, reason=f"waiting for the stage before, {stage.before.name}, to pass its check")
    return state
