"""The time limits of a run's jobs: of the one that runs, and of those after it."""

import math
import statistics
from collections.abc import Sequence

from ....estimator.eta.jobs import REQUEUE_WAIT_S, JobLimits
from ....estimator.ranges import Range
from ...run_folder.launch import Launch
from ...run_folder.task_records import TaskRecord, first_tasks
from ...slurm.jobs import QueuedJob
from ..explain.restarts import list_waits_s


def limits_of_run(
    launch: Launch, tasks: Sequence[TaskRecord], queued_job: QueuedJob | None, now_s: float
) -> JobLimits:
    """Return the limits of a run that has begun, at `now_s` (Unix).

    On Slurm a run goes on after its limit; on this machine nothing starts it again.
    """
    task = first_tasks(tasks)[-1]
    if launch.local_gpus is not None:
        left_s = (
            math.inf if launch.limit_s is None else task.began_s + launch.limit_s - launch.grace_s - now_s
        )
        return JobLimits(max(left_s, 0.0))
    ends_s = queued_job.end_s if queued_job and queued_job.end_s else task.ends_s
    limit_s = queued_job.limit_s if queued_job else None
    if ends_s is None:
        return JobLimits()
    return JobLimits(
        left_s=max(ends_s - launch.grace_s - now_s, 0.0),
        next_s=(limit_s or ends_s - task.began_s) - launch.grace_s,
        goes_on=True,
        wait_s=_wait(list_waits_s(tasks)),
    )


def _wait(waits_s: Sequence[float]) -> Range:
    """The time between two jobs: as it was, at least the time that Slurm holds a requeued job."""
    if not waits_s:
        return REQUEUE_WAIT_S
    return Range(min(waits_s), statistics.median(waits_s), max(waits_s)).at_least(REQUEUE_WAIT_S.p10)
