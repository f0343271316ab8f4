"""Why Slurm stops a task, while that is known, and how long it then leaves a save."""

from dataclasses import replace

from ....errors import ClusterplanError
from ...run_folder.task_records import read_task_record
from ...slurm.jobs import PREEMPTED
from ..context import TaskContext
from .slurm_reason import read_verdict


def note_reason(task: TaskContext) -> None:
    """Write into the first task's record why Slurm stops the job: a requeue wipes out that it was a preemption.

    In the grace of a preemption, the record has the end of the grace as the end of the job.
    """
    if not task.place.on_slurm or task.place.rank:
        return
    try:
        verdict = read_verdict(task.slurmd_log, task.place.job, task.place.restart)
    except ClusterplanError:
        return
    ends = {} if verdict.ends_s is None else {"ends_s": verdict.ends_s}
    task.file.update(slurm_state=verdict.state, **ends)


def preemption_left_s(task: TaskContext) -> float:
    """Return the seconds until the grace of a preemption is over, by the first task's record; 0 without one.

    The grace is the partition's, and may be longer than the run's own: whoever is killed earlier loses a save.
    """
    record = task.file.record
    first = record if not record.rank else read_task_record(task.folder, replace(record, rank=0).file_name)
    if first is None or first.slurm_state != PREEMPTED or first.ends_s is None:
        return 0.0
    return max(first.ends_s - task.file.now_s(), 0.0)
