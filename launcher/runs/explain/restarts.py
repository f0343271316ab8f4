"""Why a run was started again, and where: pure, from the records of its tasks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from ....cluster_profiles.units import join_names
from ....estimator.measurements.clock_steps import length_s
from ...run_folder.task_records import TaskRecord
from ...slurm.jobs import PREEMPTED
from ..waiting.queue_reasons import PREEMPTED_REASON
from .exit_codes import explain_failure

_MOST_NODES = 4  # named in a line


@dataclass(frozen=True)
class Restart:
    """One restart: its number from 1, why, the step that it went on from (None: the beginning), and its nodes."""

    number: int
    reason: str
    step: int | None
    nodes: tuple[str, ...]


def list_restarts(tasks: Sequence[TaskRecord]) -> tuple[Restart, ...]:
    """Return the restarts of a run, in order; `tasks` are in the order in which they began."""
    attempts = [list(group) for _, group in groupby(tasks, key=lambda task: task.attempt)]
    return tuple(
        Restart(number, _explain_restart(before, after[0].job), after[0].resume_step, _nodes(after))
        for number, (before, after) in enumerate(pairwise(attempts), start=1)
    )


def sum_waits_s(tasks: Sequence[TaskRecord]) -> float:
    """Return the seconds between all attempts."""
    return sum(list_waits_s(tasks))


def list_waits_s(tasks: Sequence[TaskRecord]) -> list[float]:
    """Return the seconds between the end of each attempt, or its last heartbeat, and the start of the next, where known."""
    attempts = [list(group) for _, group in groupby(tasks, key=lambda task: task.attempt)]
    waits_s = (
        length_s(max(task.ended_s or task.beat_s for task in before), min(task.began_s for task in after))
        for before, after in pairwise(attempts)
    )
    return [wait_s for wait_s in waits_s if wait_s is not None]


def _explain_restart(tasks: Sequence[TaskRecord], next_job: str) -> str:
    """Return why the attempt with these tasks was followed by another one, of the job `next_job`."""
    decided = next((task for task in tasks if task.will_restart), None)
    states = {task.slurm_state for task in tasks if task.slurm_state}
    if PREEMPTED in states:
        return PREEMPTED_REASON
    silent = [task for task in tasks if task.outcome is None]
    failure = next((task.failure for task in tasks if task.will_restart and task.failure), None)
    if failure and (failure.is_cause or not silent):
        return explain_failure(failure, names_node=len(tasks) > 1)
    if decided and decided.reason:
        return decided.reason
    return "resumed by hand" if next_job != tasks[0].job else _explain_silence(tasks, states)


def _explain_silence(tasks: Sequence[TaskRecord], states: Collection[str]) -> str:
    """Return why an attempt ended of which no task says so."""
    silent = [task for task in tasks if task.outcome is None]
    if silent and (len(silent) < len(tasks) or "NODE_FAIL" in states or not states):
        return f"node failure of {join_names(_nodes(silent), _MOST_NODES)}"
    if "NODE_FAIL" in states:
        return "node failure"
    return "its job was requeued" if "REQUEUED" in states else "its job was started again"


def _nodes(tasks: Sequence[TaskRecord]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(task.node for task in sorted(tasks, key=lambda task: task.rank)))
