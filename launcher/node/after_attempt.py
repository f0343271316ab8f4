"""What follows an attempt: the run's end, another start, or the word of another task, of Slurm or of the user."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import ClusterplanError
from ..run_folder.cancel_request import cancel_requested_s
from ..run_folder.final_status import write_final_status
from ..run_folder.launch import Launch
from ..run_folder.log_errors import is_out_of_memory
from ..run_folder.task_records import TaskFile, TaskRecord, first_tasks, read_task_records
from ..slurm import client as slurm
from .restart_policy import RestartDecision, StopCause, decide_restart
from .signals import StopSignals
from .slurm_reason import CANCELLED, SlurmdLog

POLL_S = 0.1
ANSWERED_S = 2.0
_OTHERS_S = 60.0  # for the tasks of other nodes to have stopped too
_REQUEUED_S = 120.0  # Slurm ends a job that it requeues


def decide_after_attempt(
    folder: Path, launch: Launch, file: TaskFile, signals: StopSignals, words: SlurmdLog, code: int
) -> RestartDecision | None:
    """What follows this attempt; None where another task, Slurm or the user decides.

    The final word of the run is written here, if this is where it ends.
    """
    now = file.record
    if now.outcome == "completed":
        _completed(folder, file)
        return None
    if now.outcome == "stopped" and (signals.why is StopCause.TERMINATED or now.rank):
        _stopped(folder, launch, file, signals, code)
        return None
    why = StopCause.TIME_LIMIT if now.outcome == "stopped" else StopCause.FAILED
    if why is StopCause.TIME_LIMIT:
        file.update(state="stopping")
        wait_for(lambda: signals.terminated or _all_stopped(folder, now, besides=0), _OTHERS_S)
    if _cancelled(folder, launch, file, words, code):
        return None
    # Of this start another task may speak: it counts once.
    past = [a.saved_step for a in first_tasks(read_task_records(folder)) if a.attempt != now.attempt]
    found = decide_restart(why, [*past, now.saved_step], now.resume_step, launch.max_restarts)
    if launch.local_gpus is not None and why is StopCause.TIME_LIMIT:
        found = RestartDecision(
            restart=False, reason="the time asked for is over"
        )  # nobody but the user set it
    if why is StopCause.FAILED and now.rank and found.restart:
        found = replace(found, reason=f"rank {now.rank}: {found.reason}")
    file.update(will_restart=found.restart, reason=found.reason, state="ended", ended_s=time.time())
    if not found.restart:
        if why is StopCause.TIME_LIMIT:
            write_final_status(folder, "timed_out", code, found.reason, now.error)
        else:
            write_final_status(
                folder, _failed_state(now), code, f"exit code {code}; {found.reason}", now.error
            )
    return found


def _completed(folder: Path, file: TaskFile) -> None:
    now = file.update(state="ended", ended_s=time.time())
    if all(a.outcome == "completed" for a in _same_start(folder, now)) and _all_there(folder, now):
        write_final_status(folder, "completed", 0)


def _stopped(folder: Path, launch: Launch, file: TaskFile, signals: StopSignals, code: int) -> None:
    """Its user, or Slurm, has the last word; of a time limit the first task has."""
    if launch.local_gpus is not None:
        write_final_status(folder, "cancelled", code, "it was asked to stop")
    now = file.update(state="ended", ended_s=time.time())
    if signals.why is StopCause.TIME_LIMIT:
        wait_for(lambda: signals.terminated or _all_stopped(folder, now), _OTHERS_S + launch.grace_s)


def _cancelled(folder: Path, launch: Launch, file: TaskFile, words: SlurmdLog, code: int) -> bool:
    """Whether the user ended the run while it saved, or failed: then it shall not come back."""
    if cancel_requested_s(folder) is None and words.state() != CANCELLED:
        return False
    here = launch.local_gpus is not None
    if here:
        write_final_status(folder, "cancelled", code, "it was asked to stop")
    file.update(state="ended", slurm_state=None if here else CANCELLED, ended_s=time.time())
    return True


def _failed_state(attempt: TaskRecord) -> str:
    return "out_of_memory" if is_out_of_memory(attempt.error, attempt.exit_code) else "failed"


def start_again(
    folder: Path, file: TaskFile, signals: StopSignals, successor: Callable[[Path, str], str | None]
) -> None:
    """Requeue this job, or queue one that goes on after it; then wait for Slurm to end this one."""
    job = file.record.job
    try:
        facts = slurm.read_job(job)
        if facts is None or facts.requeue is not False:
            slurm.requeue(job)
            wait_for(lambda: signals.terminated, _REQUEUED_S)
            return
    except ClusterplanError as error:
        refused = str(error)
        wait_for(lambda: signals.terminated, ANSWERED_S)
        if (
            signals.terminated
        ):  # it was requeued, and scontrol ended with all the job's processes before it could say so
            return
    else:
        refused = "Slurm may not requeue this job"
    try:
        following = successor(folder, job)
    except ClusterplanError as error:
        write_final_status(
            folder, "timed_out", file.record.exit_code, f"{refused}, and no successor was queued: {error}"
        )
        file.update(will_restart=False, reason=f"{refused}; {error}")
        return
    file.update(reason=f"{file.record.reason}; {refused}, so job {following} goes on")


def _same_start(folder: Path, now: TaskRecord) -> list[TaskRecord]:
    return [a for a in read_task_records(folder) if a.attempt == now.attempt]


def _all_there(folder: Path, now: TaskRecord) -> bool:
    return len(_same_start(folder, now)) == now.ranks


def _all_stopped(folder: Path, now: TaskRecord, besides: int | None = None) -> bool:
    """Whether every task of this start has seen its command end, `besides` one rank."""
    return all(a.outcome is not None for a in _same_start(folder, now) if a.rank != besides)


def wait_for(condition: Callable[[], Any], most_s: float) -> None:
    deadline = time.monotonic() + most_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_S)
