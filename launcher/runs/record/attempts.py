"""The attempts of a run in sum: how many, how long they took, and how many the time limit ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from ....estimator.measurements.clock_steps import length_s
from ...node.restart_policy import StopCause
from ...run_folder.task_records import Attempt, TaskRecord


@dataclass(frozen=True)
class AttemptSum:
    """`trained_s` are the seconds of all attempts, without the time between them; the last may go on.  None is not known."""

    attempts: int
    trained_s: float | None
    limits_met: int


def sum_attempts(tasks: Sequence[TaskRecord]) -> AttemptSum | None:
    """Return the sum of the attempts that began; None if none did.

    An attempt lasts from its first task's beginning to its last task's end; a task that was killed ended with its last
    heartbeat.
    """
    attempts: dict[Attempt, list[TaskRecord]] = {}
    for task in tasks:
        if task.state != "waiting":
            attempts.setdefault(task.attempt, []).append(task)
    if not attempts:
        return None
    lengths_s = [_length_s(group) for group in attempts.values()]
    return AttemptSum(
        attempts=len(attempts),
        trained_s=None if None in lengths_s else sum(filter(None, lengths_s)),
        limits_met=sum(
            any(task.stop_cause == StopCause.TIME_LIMIT for task in group) for group in attempts.values()
        ),
    )


def _length_s(tasks: Sequence[TaskRecord]) -> float | None:
    ended_s = max(task.beat_s if task.ended_s is None else task.ended_s for task in tasks)
    return length_s(min(task.began_s for task in tasks), ended_s)
