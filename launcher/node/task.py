"""One task of a run on its node, from its start to its end: attempt after attempt, as long as it may restart."""

import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..command.task import Task
from ..run_folder.cancel_request import cancel_requested_s
from ..run_folder.final_status import has_final_status, withdraw_final_status, write_final_status
from ..run_folder.folder import BEGAN, SUBMITIT
from ..run_folder.job_log import append_missing_job, is_superseded
from ..run_folder.launch import Launch
from ..run_folder.records.run_facts import waits_for_runs
from ..run_folder.task_file import TaskFile
from ..run_folder.task_records import TaskRecord, process_birth, read_task_record
from ..slurm.text import memory_mib_of_job
from .after_attempt import decide_after_attempt
from .context import TaskContext
from .gpu_locks import GpuLocks, lock_gpus
from .guard import run_command
from .processes import adopt_orphans, end_orphans
from .ranks import read_task
from .requeue import requeue_job
from .restart_policy import RestartDecision, StopCause
from .saves import saves_at_start
from .stop.leftovers import end_leftovers
from .stop.other_starts import wait_for_earlier_starts
from .stop.signals import StopSignals
from .stop.slurm_reason import SlurmdLog


def run_task(
    folder: Path, environment: Mapping[str, str], queue_successor: Callable[[Path, str], str | None]
) -> int:
    """Run this task of the run in `folder` to its end; return the exit code that it should have.

    `queue_successor` submits the run again, to start after the given job, where Slurm may not requeue it.
    """
    signals = StopSignals()
    signals.listen()
    launch, place = Launch.read(folder, to_run=True), read_task(environment)
    if is_superseded(folder, place.job):  # an administrator requeued a job that another continues
        return 0
    withdraw_final_status(folder, place.job)
    if has_final_status(folder):  # or one of a run that has ended
        return 0
    task = _begin_attempt(folder, launch, place, signals)
    if place.on_slurm and place.rank == 0:
        _note_beginning(folder, place)
        append_missing_job(folder, "slurm", place.job, environment.get("SLURM_CLUSTER_NAME"))
    adopt_orphans()

    def is_stopped() -> bool:
        return signals.cause is not None or cancel_requested_s(folder) is not None

    if why_not := _why_not_begun(task, is_stopped):
        return _end_before_start(task, why_not)
    with lock_gpus(launch, environment, is_stopped) as gpus:
        # `clusterplan cancel` writes its request, then looks for this process: one of the two sees the other.
        if gpus is None or cancel_requested_s(folder) is not None:
            return _end_before_start(task)
        deadline_s = time.monotonic() + _longest_s(launch)
        while True:
            decision = _run_attempt(task, environment, gpus, deadline_s)
            restarts = decision is not None and decision.restart
            if place.on_slurm or not restarts:
                break
            place = replace(place, restart=place.restart + 1)
            task = _begin_attempt(folder, launch, place, signals)
    if restarts:
        requeue_job(task, queue_successor)
        task.file.update(state="ended")
        return 0
    return _exit_code(task)


def _why_not_begun(task: TaskContext, is_stopped: Callable[[], bool]) -> str | None:
    """Why a run may not begin after those that it waits for; None if it may, or waits for none."""
    if not waits_for_runs(task.folder):
        return None
    from .stages.order import why_not_begun  # noqa: PLC0415  the checks of stages, for a run that waits for others

    return why_not_begun(task.folder, is_stopped, on_slurm=task.place.on_slurm)


def _note_beginning(folder: Path, place: Task) -> None:
    """Let the job's shell know that this start can speak for itself."""
    with suppress(OSError):
        (folder / SUBMITIT / f"{place.job}.{place.restart}.{BEGAN}").touch()


def _begin_attempt(folder: Path, launch: Launch, place: Task, signals: StopSignals) -> TaskContext:
    now_s = time.time()
    record = TaskRecord(
        job=place.job,
        restart=place.restart,
        rank=place.rank,
        ranks=place.ranks,
        node=place.node,
        host=socket.gethostname(),
        pid=os.getpid(),
        birth=process_birth(os.getpid()),
        began_s=now_s,
        beat_s=now_s,
        state="waiting",
    )
    return TaskContext(folder, launch, place, TaskFile(folder, record), signals, SlurmdLog(folder, place.job))


def _end_before_start(task: TaskContext, why: str = "before it began") -> int:
    ended_s = task.file.now_s()
    write_final_status(task.folder, "cancelled", None, why, ended_s=ended_s)
    task.file.update(state="ended", outcome="stopped", stop_cause=task.signals.cause, ended_s=ended_s)
    return 1


def _longest_s(launch: Launch) -> float:
    """Return the seconds until a run on this machine has to begin to save; infinite on Slurm, which sends a warning."""
    return math.inf if launch.limit_s is None else launch.limit_s - launch.grace_s


def _run_attempt(
    task: TaskContext, environment: Mapping[str, str], gpus: GpuLocks, deadline_s: float
) -> RestartDecision | None:
    if task.place.on_slurm and task.place.rank == 0:  # without the first, the others take no step
        wait_for_earlier_starts(task)
    if task.place.local_rank == 0:
        end_leftovers(task.folder, task.file.record)
    memory_mib = memory_mib_of_job(environment)
    task.file.update(
        state="running", began_s=task.file.now_s(), memory_mib=memory_mib, **saves_at_start(task)
    )
    run_command(task, environment, gpus, deadline_s)
    end_orphans()
    return decide_after_attempt(task)


def _exit_code(task: TaskContext) -> int:
    cause = task.signals.cause
    if cause and task.place.rank:
        first = read_task_record(task.folder, replace(task.file.record, rank=0).file_name)
        if cause is StopCause.TIME_LIMIT or (first and first.will_restart):
            return 0  # a failed task would end the job before the first task has requeued it
    return task.file.record.exit_code or (1 if cause else 0)
