"""Two starts of a run at once: the later one has the run, and waits until the earlier one has stood back.

The processes of a job outlive the death of their node's slurmd.  Slurm requeues the job then, and two starts would
write the same checkpoints.
"""

import time
from pathlib import Path

from ...run_folder.folder import TASKS
from ...run_folder.task_records import (
    TaskRecord,
    is_written_by_other,
    may_run,
    read_task_record,
    read_task_records,
)
from ..context import SHARED_DISK_POLL_S, TaskContext

_STANDS_BACK_S = 180.0  # a heartbeat, and a shared disk that shows new files late


def has_newer_start(folder: Path, record: TaskRecord) -> bool:
    """Return whether the run has a start after that of `record`: another restart of its job, or another job.

    It lists one folder, and reads only the task's own file and the first task of another job.
    """
    return is_written_by_other(folder, record) or any(
        _is_newer(folder, path.name, record) for path in (folder / TASKS).glob("*.0.json")
    )


def _is_newer(folder: Path, file_name: str, record: TaskRecord) -> bool:
    job, restart, *_ = file_name.rsplit(".", 3)
    if job == record.job:
        return restart.isdecimal() and int(restart) > record.restart
    first = read_task_record(folder, file_name)
    return first is not None and first.began_s > record.began_s


def wait_for_earlier_starts(task: TaskContext) -> None:
    """Wait until no command of an earlier start runs any more, or is silent; give signs of life meanwhile.

    It ends too when this task is asked to stop.  An earlier start that still gives signs of life after 3 minutes
    cannot see this one, and is not waited for.
    """
    record, before = task.file.record, task.file.before
    deadline_s = time.monotonic() + _STANDS_BACK_S
    names = [other.file_name for other in read_task_records(task.folder) if other.attempt != record.attempt]
    while not task.signals.cause and time.monotonic() < deadline_s:
        others = (read_task_record(task.folder, name) for name in names)
        names = [other.file_name for other in others if other and may_run(other, task.file.now_s())]
        if not names and not (before and may_run(before, task.file.now_s())):
            break
        task.file.update()
        time.sleep(SHARED_DISK_POLL_S)
