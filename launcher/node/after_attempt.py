"""What follows an attempt: the run's end, another attempt, or the decision of another task, of Slurm or of the user."""

import time
from dataclasses import replace

from ..run_folder.cancel_request import cancel_requested_s
from ..run_folder.final_status import write_final_status
from ..run_folder.log_errors import is_out_of_memory
from ..run_folder.task_records import TaskRecord, first_tasks, read_task_records
from .context import TaskContext, wait_for
from .restart_policy import RestartDecision, StopCause, decide_restart
from .slurm_reason import CANCELLED

_OTHER_TASKS_S = 60.0  # for the tasks of other nodes to stop too
_STOP_REQUEST = "it was asked to stop"


def decide_after_attempt(task: TaskContext) -> RestartDecision | None:
    """Decide what follows this attempt, and write the run's final status if it ends here.

    None means that the decision is another task's, Slurm's or the user's.
    """
    record, signals = task.file.record, task.signals
    if record.outcome == "completed":
        _complete(task)
        return None
    if record.outcome == "stopped" and (signals.cause is StopCause.TERMINATED or record.rank):
        _stop(task)
        return None
    cause = StopCause.TIME_LIMIT if record.outcome == "stopped" else StopCause.FAILED
    if cause is StopCause.TIME_LIMIT:
        task.file.update(state="stopping")
        wait_for(lambda: signals.terminated or _have_all_stopped(task, but_first=True), _OTHER_TASKS_S)
    if _is_cancelled(task):
        return None
    decision = _decide(task, cause)
    task.file.update(
        will_restart=decision.restart, reason=decision.reason, state="ended", ended_s=time.time()
    )
    if not decision.restart:
        _end_run(task, cause, decision.reason)
    return decision


def _complete(task: TaskContext) -> None:
    record = task.file.update(state="ended", ended_s=time.time())
    tasks = _tasks_of_attempt(task)
    if len(tasks) == record.ranks and all(other.outcome == "completed" for other in tasks):
        write_final_status(task.folder, "completed", 0)


def _stop(task: TaskContext) -> None:
    """End this task.  Slurm or the user decides what follows; after a time limit, the first task does."""
    if not task.place.on_slurm:
        write_final_status(task.folder, "cancelled", task.file.record.exit_code, _STOP_REQUEST)
    task.file.update(state="ended", ended_s=time.time())
    if task.signals.cause is StopCause.TIME_LIMIT:
        limit_s = _OTHER_TASKS_S + task.launch.grace_s
        wait_for(lambda: task.signals.terminated or _have_all_stopped(task), limit_s)


def _is_cancelled(task: TaskContext) -> bool:
    """Return whether the user ended the run while it saved, or as it failed: then it must not restart."""
    if cancel_requested_s(task.folder) is None and task.slurmd_log.read_state() != CANCELLED:
        return False
    if task.place.on_slurm:
        task.file.update(state="ended", slurm_state=CANCELLED, ended_s=time.time())
    else:
        write_final_status(task.folder, "cancelled", task.file.record.exit_code, _STOP_REQUEST)
        task.file.update(state="ended", ended_s=time.time())
    return True


def _decide(task: TaskContext, cause: StopCause) -> RestartDecision:
    if (
        cause is StopCause.TIME_LIMIT and not task.place.on_slurm
    ):  # the user set it, and no queue waits behind
        return RestartDecision(restart=False, reason="the requested time is over")
    record = task.file.record
    # Each attempt counts once: the first task speaks for an earlier one, this task for its own.
    earlier = [
        first.saved_step
        for first in first_tasks(read_task_records(task.folder))
        if first.attempt != record.attempt
    ]
    decision = decide_restart(
        cause, [*earlier, record.saved_step], record.resume_step, task.launch.max_restarts
    )
    if cause is StopCause.FAILED and record.rank and decision.restart:
        return replace(decision, reason=f"rank {record.rank}: {decision.reason}")
    return decision


def _end_run(task: TaskContext, cause: StopCause, reason: str) -> None:
    record = task.file.record
    if cause is StopCause.TIME_LIMIT:
        write_final_status(task.folder, "timed_out", record.exit_code, reason, record.error)
        return
    state = "out_of_memory" if is_out_of_memory(record.error, record.exit_code) else "failed"
    write_final_status(
        task.folder, state, record.exit_code, f"exit code {record.exit_code}; {reason}", record.error
    )


def _tasks_of_attempt(task: TaskContext) -> list[TaskRecord]:
    attempt = task.file.record.attempt
    return [other for other in read_task_records(task.folder) if other.attempt == attempt]


def _have_all_stopped(task: TaskContext, *, but_first: bool = False) -> bool:
    """Return whether the command of every task of this attempt has ended; `but_first` leaves out rank 0."""
    return all(
        other.outcome is not None for other in _tasks_of_attempt(task) if not (but_first and other.rank == 0)
    )
