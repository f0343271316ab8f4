"""What follows an attempt: the run's end, another attempt, or the decision of another task, of Slurm or of the user."""

import time
from dataclasses import replace

from ..logs.errors import ErrorKind
from ..logs.failure import Failure, find_cause
from ..run_folder.cancel_request import cancel_requested_s
from ..run_folder.final_status import write_final_status
from ..run_folder.records.run_facts import is_stage
from ..run_folder.task_records import TaskRecord, read_task_record, read_task_records
from ..slurm.jobs import PREEMPTED
from .context import SHARED_DISK_POLL_S, TaskContext, wait_for
from .requeue import wait_for_verdict
from .restart_policy import RestartDecision, StopCause
from .saves import decide_from_saves
from .stop.grace import preemption_left_s
from .stop.other_starts import has_newer_start
from .stop.slurm_reason import CANCELLED, REQUEUED

_OTHER_TASKS_S = 60.0  # for the tasks of other nodes to stop too
_FIRST_TASK_S = (
    900.0  # for the first task to have the job requeued, though the controller is down for a while
)
_FAILURES_POLL_S = 1.0  # ranks that fail because of another do so within milliseconds
_CAUSE_S = 10  # for the rank whose end made this one fail to say so
_STOP_REQUEST = "it was asked to stop"


def decide_after_attempt(task: TaskContext) -> RestartDecision | None:
    """Decide what follows this attempt, and write the run's final status if it ends here.

    None means that the decision is another task's, Slurm's or the user's.
    """
    record = task.file.record
    if has_newer_start(task.folder, record):  # what follows is said by that start
        task.file.update(state="ended", stop_cause=StopCause.NEWER_START, ended_s=task.file.now_s())
        return None
    if record.outcome == "completed":
        _complete(task)
        return None
    if record.outcome == "stopped" and record.rank:
        task.file.update(state="ended", ended_s=task.file.now_s())
        _follow(task, rank=0)
        return None
    if task.place.on_slurm:
        return _decide_on_slurm(task)
    is_cancelled = cancel_requested_s(task.folder) is not None
    if is_cancelled or (record.outcome == "stopped" and task.signals.cause is StopCause.TERMINATED):
        write_final_status(
            task.folder, "cancelled", record.exit_code, _STOP_REQUEST, ended_s=task.file.now_s()
        )
        task.file.update(state="ended", ended_s=task.file.now_s())
        return None
    return _decide(task, record.failure)


def _complete(task: TaskContext) -> None:
    record = task.file.update(state="ended", ended_s=task.file.now_s())
    tasks = _tasks_of_attempt(task)
    if len(tasks) == record.ranks and all(other.outcome == "completed" for other in tasks):
        if not is_stage(task.folder):
            write_final_status(task.folder, "completed", 0, ended_s=task.file.now_s())
            return
        from .stages.check import end_stage  # noqa: PLC0415  the readers of steps and samples, for a stage only

        task.file.update(exit_code=end_stage(task.folder))


def _follow(task: TaskContext, rank: int) -> None:
    """Wait for the decision of another task, and until Slurm ends the job if it is requeued.

    srun ends a job one minute after its first task has left (--wait=60), and inside the grace of a preemption such a
    job is not requeued.
    """
    other = replace(task.file.record, rank=rank).file_name

    def has_left() -> bool:
        record = read_task_record(task.folder, other)
        return record is not None and record.state == "ended"

    wait_for(has_left, _FIRST_TASK_S, poll_s=SHARED_DISK_POLL_S)


def _find_first_failed(task: TaskContext) -> TaskRecord:
    """Return the record of the task whose failure led to those of the others, once they had time to tell."""
    record = task.file.record
    for second in range(1, _CAUSE_S + 1 if record.ranks > 1 else 0):
        time.sleep(_FAILURES_POLL_S)
        tasks = _tasks_of_attempt(task)
        failures = {other.failure: other for other in tasks if other.failure}
        cause = find_cause(failures)
        if cause and (cause.is_cause or second == _CAUSE_S or all(other.outcome for other in tasks)):
            return failures[cause]
    return record


def _decide_on_slurm(task: TaskContext) -> RestartDecision | None:
    record = task.file.record
    first_failed = _find_first_failed(task) if record.outcome == "failed" else record
    if first_failed.rank != record.rank:
        task.file.update(state="ended", ended_s=task.file.now_s())
        _follow(task, first_failed.rank)
        return None
    verdict = wait_for_verdict(task)
    if record.outcome == "stopped" and verdict.is_running:
        task.file.update(state="stopping")
        others_s = max(_OTHER_TASKS_S, preemption_left_s(task))
        wait_for(lambda: _have_all_stopped(task, but_first=True), others_s)
        verdict = wait_for_verdict(task)
    state = verdict.state
    if state in (None, REQUEUED):  # the reason may have been known only while the grace lasted
        state = record.slurm_state or state
    is_cancelled = cancel_requested_s(task.folder) is not None
    is_left_to_slurm = not verdict.is_running and (state or task.signals.cause is StopCause.TERMINATED)
    if state == PREEMPTED and not verdict.is_requeued:  # PreemptMode=CANCEL does not requeue it
        is_left_to_slurm = False
    if is_cancelled or is_left_to_slurm:
        state = CANCELLED if is_cancelled and verdict.is_running else state
        task.file.update(state="ended", slurm_state=state, ended_s=task.file.now_s())
        return None
    if state == PREEMPTED:
        task.file.update(slurm_state=state)
        return _note(task, RestartDecision(restart=True, reason="a job of higher priority took its place"))
    if task.signals.cause is StopCause.TERMINATED and not _have_all_stopped(task):
        # srun ends the others where one task failed: that task decides, or has been killed.
        task.file.update(state="ended", ended_s=task.file.now_s())
        return None
    return _decide(task, first_failed.failure)


def _decide(task: TaskContext, failure: Failure | None) -> RestartDecision:
    record, cause = task.file.record, task.signals.cause
    if record.outcome == "failed":
        cause = StopCause.FAILED
    elif not task.place.on_slurm:  # the user set the limit, and no queue waits behind
        return _note(task, RestartDecision(restart=False, reason="the requested time is over"), failure)
    decision = decide_from_saves(task, failure)
    if cause is StopCause.TERMINATED and decision.restart:
        decision = replace(decision, reason="it was told to stop, but its job was not cancelled")
    if failure and failure.rank is not None and decision.restart:
        decision = replace(decision, reason=f"rank {failure.rank}: {decision.reason}")
    return _note(task, decision, failure)


def _note(task: TaskContext, decision: RestartDecision, failure: Failure | None = None) -> RestartDecision:
    """Write the decision into the record, and the run's final status if it ends.

    A task on Slurm that restarts the run has not ended before Slurm has accepted that.
    """
    is_requeued = decision.restart and task.place.on_slurm
    task.file.update(
        will_restart=decision.restart,
        reason=decision.reason,
        state="stopping" if is_requeued else "ended",
        ended_s=task.file.now_s(),
    )
    if not decision.restart:
        _end_run(task, decision.reason, failure)
    return decision


def _end_run(task: TaskContext, reason: str, failure: Failure | None) -> None:
    code, ended_s = task.file.record.exit_code, task.file.now_s()
    if failure is None:
        write_final_status(task.folder, "timed_out", code, reason, ended_s=ended_s)
        return
    ran_out = failure.kind is ErrorKind.OUT_OF_MEMORY
    state = "out_of_memory" if ran_out else "failed"
    write_final_status(task.folder, state, failure.exit_code, reason, failure, ended_s=ended_s)


def _tasks_of_attempt(task: TaskContext) -> list[TaskRecord]:
    attempt = task.file.record.attempt
    return [other for other in read_task_records(task.folder) if other.attempt == attempt]


def _have_all_stopped(task: TaskContext, *, but_first: bool = False) -> bool:
    """Return whether the command of every task of this attempt has ended; `but_first` leaves out rank 0."""
    return all(
        other.outcome is not None for other in _tasks_of_attempt(task) if not (but_first and other.rank == 0)
    )
