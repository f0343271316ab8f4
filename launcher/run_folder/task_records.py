"""The record that each task of a run keeps of itself: one small file per task and attempt, replaced in one step.

    tasks/<job>.<restart>.<rank>.json   one task of one attempt
    submitit/<job>.<restart>.exit       the exit code of the attempt, written by the job's own shell

The shell outlives its tasks, so its file exists even where they were killed and wrote nothing.
"""

import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ...errors import UnreadableFile
from ..logs.errors import ErrorKind
from ..logs.failure import Failure
from .folder import TASKS
from .records.files import read_record
from .records.values import Count, ExitCode, Seconds, Signed

_FRESH_S = 60.0  # three heartbeats


class Attempt(NamedTuple):
    """One start of a run's job: the job's id, and how often it had been restarted before."""

    job: str
    restart: int

    def __str__(self) -> str:
        return f"{self.job}.{self.restart}"


@dataclass(frozen=True)
class TaskRecord:
    """One task of one attempt.  Times are Unix seconds; None means not known, or not yet.

    `state` is waiting (for GPUs of this machine), running, stopping or ended.
    `outcome` is that of its command: completed, failed or stopped.  If it failed, `error` to `failed_s` say which of
    its processes was the first, and why; `failed_rank` is None if no rank is known.
    """

    job: str
    restart: Count
    rank: Count
    ranks: Count
    node: str
    host: str
    pid: Count
    birth: str  # start of the process in clock ticks, so that another process with its id is not taken for it
    began_s: Seconds
    beat_s: Seconds
    state: str = "running"
    memory_mib: Count | None = None  # what Slurm gives the job on this node
    resume_step: Count | None = None
    resume_from: str | None = None  # path of the checkpoint that the attempt began from
    resume_changed_s: Seconds | None = None
    checkpoints: Sequence[str] = ()  # paths that were there, the newest of each family of names; of rank 0
    last_save_s: Seconds | None = None  # the last change of one of them
    last_weights_s: Seconds | None = None  # the last change of any file of weights
    saved_step: Count | None = None
    progress: str | None = None  # a node.restart_policy.Progress, where a restart was decided here
    stop_cause: str | None = None  # a StopCause, where the task was asked to stop
    ends_s: Seconds | None = None  # when Slurm ends the job, at its time limit
    slurm_state: str | None = None  # the reason that Slurm gave for it
    outcome: str | None = None
    exit_code: ExitCode | None = None
    error: str | None = None  # the line of the log that says why the command failed
    error_kind: str | None = None  # an ErrorKind
    failed_rank: Count | None = None
    failed_log: Count | None = None  # the number of its log
    failed_code: ExitCode | None = None  # its own exit code: that of the command may be a launcher's
    failed_s: Seconds | None = None  # when its log was written last
    will_restart: bool = False
    reason: str | None = None  # why the run restarts, or does not
    ended_s: Seconds | None = None
    clock_s: Signed = 0.0  # the node's clock is ahead of the run folder's, by which the times above are
    stamped_s: Seconds | None = None  # when the disk took the file; read with it, and not in it

    @property
    def sign_s(self) -> float:
        """Return when the last sign of life came, by the disk: the clock of the node may be another."""
        return self.beat_s if self.stamped_s is None else self.stamped_s

    @property
    def attempt(self) -> Attempt:
        """Return the attempt that the task belongs to."""
        return Attempt(self.job, self.restart)

    @property
    def failure(self) -> Failure | None:
        """Return how the command failed; None if it did not."""
        if self.outcome != "failed":
            return None
        return Failure(
            rank=self.failed_rank,
            log=self.rank if self.failed_log is None else self.failed_log,
            node=self.node,
            exit_code=self.failed_code or self.exit_code or 0,
            error=self.error,
            kind=ErrorKind.of(self.error_kind),
            time_s=self.failed_s or self.beat_s,
        )

    @property
    def file_name(self) -> str:
        """Return the name of the task's file in `tasks/`."""
        return f"{self.attempt}.{self.rank}.json"


class Tasks(NamedTuple):
    """The records of a run's tasks in the order they began, and the faults of the files that could not be read."""

    records: Sequence[TaskRecord]
    faults: Sequence[UnreadableFile]


def read_tasks(folder: Path) -> Tasks:
    """Return the records of all tasks of all attempts of a run."""
    try:
        names = [name for name in os.listdir(f"{folder}/{TASKS}") if name.endswith(".json")]  # noqa: PTH208  a path for each is slow
    except FileNotFoundError:
        return Tasks((), ())
    except OSError as error:
        return Tasks((), (UnreadableFile.of(folder / TASKS, error),))
    records, faults = list[TaskRecord](), list[UnreadableFile]()
    for name in names:
        try:
            records += filter(None, [_read_file(folder, name)])
        except UnreadableFile as fault:
            faults.append(fault)
    return Tasks(sorted(records, key=lambda task: (task.began_s, task.restart, task.rank)), faults)


def read_task_records(folder: Path) -> Sequence[TaskRecord]:
    """Return the records of all tasks of a run that can be read."""
    return read_tasks(folder).records


def read_task_record(folder: Path, file_name: str) -> TaskRecord | None:
    """Return one record; None if its file is missing, is being replaced, or was torn by a full disk."""
    with suppress(UnreadableFile):
        return _read_file(folder, file_name)
    return None


def _read_file(folder: Path, file_name: str) -> TaskRecord | None:
    path = folder / TASKS / file_name
    record = read_record(TaskRecord, path)
    with suppress(OSError):
        if record and record.outcome is None:
            return replace(record, stamped_s=path.stat().st_mtime)
    return record


def is_written_by_other(folder: Path, record: TaskRecord) -> bool:
    """Return whether another start of the same number writes the file of this task."""
    writer = read_task_record(folder, record.file_name)
    return writer is not None and not is_same_task(writer, record)


def is_same_task(one: TaskRecord, other: TaskRecord) -> bool:
    """Return whether one process wrote both records."""
    return (one.host, one.pid, one.birth) == (other.host, other.pid, other.birth)


def first_tasks(tasks: Iterable[TaskRecord]) -> list[TaskRecord]:
    """Return the task of rank 0 of every attempt, in order: one per attempt, which decides for it."""
    return [task for task in tasks if task.rank == 0]


def is_fresh(task: TaskRecord, now_s: float) -> bool:
    """Return whether the command of the task has not ended, and its last sign of life is at most 3 heartbeats old."""
    return task.outcome is None and now_s - task.sign_s < _FRESH_S


def may_run(task: TaskRecord, now_s: float) -> bool:
    """Return whether the command of the task may still run: its last sign of life decides where no process is seen."""
    is_alive = is_process_alive(task)
    return is_fresh(task, now_s) if is_alive is None else is_alive and task.outcome is None


def is_process_alive(task: TaskRecord) -> bool | None:
    """Return whether the task's process runs; None if it belongs to another machine, which alone can tell."""
    if task.host != socket.gethostname():
        return None
    return process_birth(task.pid) == task.birth


def process_birth(pid: int) -> str:
    """Return when a process began, in clock ticks of the kernel; empty if no process has this id.

    >>> import os
    >>> process_birth(os.getpid()) != ""
    True
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "alive" if not Path("/proc/self").exists() and _exists_without_proc(pid) else ""
    state, *others = stat.rpartition(")")[2].split()
    return "" if state == "Z" else others[18]


def _exists_without_proc(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
