"""Whether a later start of the run has begun: then this one, which Slurm has lost sight of, is to stand back.

The processes of a job outlive the death of their node's slurmd.  Slurm requeues the job then, and two starts would
write the same checkpoints.
"""

from pathlib import Path

from ...run_folder.task_records import TASKS, TaskRecord, read_task_record


def has_newer_start(folder: Path, record: TaskRecord) -> bool:
    """Return whether the run has a start after that of `record`: another restart of its job, or another job.

    It lists one folder, and reads only the first task of another job.
    """
    return any(_is_newer(folder, path.name, record) for path in (folder / TASKS).glob("*.0.json"))


def _is_newer(folder: Path, file_name: str, record: TaskRecord) -> bool:
    job, restart, *_ = file_name.rsplit(".", 3)
    if job == record.job:
        return restart.isdecimal() and int(restart) > record.restart
    first = read_task_record(folder, file_name)
    return first is not None and first.began_s > record.began_s
