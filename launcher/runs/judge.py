"""The one state of a run that follows from the evidence: pure.

The evidence in the order it is believed: the run's final status; Slurm's queue, then its accounting, each with the
records of the tasks; these records alone; the exit code that the job's shell saw; the age of the last heartbeat.
"""

from dataclasses import replace
from operator import attrgetter

from ...cluster_profiles.units import format_duration
from ...estimator.measurements.clock_steps import length_s
from ..logs.errors import ErrorKind, is_out_of_memory
from ..node.restart_policy import StopCause
from ..run_folder.final_status import FinalStatus
from ..run_folder.progress.progress import Progress
from ..run_folder.task_records import TaskRecord
from ..slurm.jobs import JobFacts, QueuedJob
from .end_reasons import BEFORE_START, KILLED, STATES_OF_SLURM, explain_end
from .explain.earlier_start import explain_earlier_start
from .explain.exit_codes import SIGKILL_CODE, explain_failure
from .state import Evidence, RunState, State, exit_code_of_tasks
from .waiting.queue_reasons import WAITING_STATES, explain_wait

STALE_S = 120.0  # six heartbeats
_NEW_JOB_S = 30.0  # for squeue to list a job that was just submitted
_ACTIVITIES = {
    "COMPLETING": "stopping",
    "SIGNALING": "stopping",
    "STAGE_OUT": "stopping",
    "SUSPENDED": "suspended",
}


def judge_state(evidence: Evidence, now_s: float) -> RunState:
    """Return the state of a run that follows from the evidence at `now_s`, in Unix seconds."""
    if evidence.final_status:
        return _final_state(evidence.final_status, evidence, now_s)
    if not evidence.jobs:
        if now_s - evidence.began_s < STALE_S:
            return RunState(State.PENDING, "being submitted", now_s)
        return RunState(State.LOST, "the run was never submitted", now_s)
    if evidence.jobs[-1].executor == "local":
        return _judge_local(evidence, now_s)
    return _judge_on_slurm(evidence, now_s)


def with_early_end(state: RunState, progress: Progress | None) -> RunState:
    """Say of a run that ended with 0 that its loop stopped before its last step: a signal or a bug may be why."""
    if state.state is not State.COMPLETED or state.reason or not progress or not progress.stopped_early:
        return state
    steps = f"step {progress.steps_done:,} of {progress.total:,}"
    return replace(state, reason=f"ended with exit code 0 at {steps}")


def _final_state(final: FinalStatus, evidence: Evidence, now_s: float) -> RunState:
    failure, reason = final.failure, final.reason or ""
    if failure:
        how = explain_failure(failure, names_node=evidence.names_node)
        reason = how if failure.error or not reason else f"{how}; {reason}"
    state, error = State(final.state), evidence.slurmd_error
    if final.was_killed and is_out_of_memory(error, SIGKILL_CODE):
        state, reason = State.OUT_OF_MEMORY, f"{reason.partition(': often')[0]}: {error}"
        failure = replace(failure, error=error, kind=ErrorKind.OUT_OF_MEMORY) if failure else None
    return RunState(state, reason, final.ended_s or now_s, final.exit_code, failure=failure)


def _judge_local(evidence: Evidence, now_s: float) -> RunState:  # noqa: PLR0911  one line per case
    tasks = evidence.last_tasks
    if not tasks:
        if now_s - evidence.jobs[-1].submitted_s < STALE_S:
            return RunState(State.PENDING, "starting", now_s)
        return RunState(State.LOST, "the run's process never started", now_s)
    task = tasks[0]
    if evidence.is_alive is None:
        reason = f"runs on {task.host}; {_last_heartbeat(task, now_s)}"
        return RunState(State.RUNNING, reason, task.sign_s, stale=now_s - task.sign_s > STALE_S)
    if evidence.is_alive and task.state == "waiting":
        return RunState(State.PENDING, "waiting for GPUs of this machine", now_s)
    if evidence.is_alive:
        return RunState(State.RUNNING, "stopping" if task.state == "stopping" else "", now_s)
    ended_s = task.ended_s or task.beat_s
    if exit_code_of_tasks(tasks) == 0:
        return RunState(State.COMPLETED, "", ended_s, 0)
    if task.outcome == "failed" and not task.will_restart:
        return explain_end(State.FAILED, evidence, ended_s)
    if evidence.cancel_requested_s:
        return RunState(State.CANCELLED, "", evidence.cancel_requested_s)
    return RunState(State.FAILED, KILLED, task.beat_s, SIGKILL_CODE)


def _judge_on_slurm(evidence: Evidence, now_s: float) -> RunState:
    job, accounting, tasks = evidence.queued_job, evidence.accounting, evidence.last_tasks
    first = next((task for task in tasks if task.rank == 0), tasks[0] if tasks else None)
    is_waiting = job is not None and job.state in WAITING_STATES
    earlier = explain_earlier_start(evidence.tasks, tasks, now_s, is_waiting=is_waiting)
    if job and is_waiting:
        return _judge_waiting(evidence, job, now_s, earlier)
    slurm_state = job.state if job else accounting.state if accounting else ""
    ended = STATES_OF_SLURM.get(slurm_state.partition(" ")[0])  # "CANCELLED by 1000"
    if ended:
        return explain_end(ended, evidence, _ended_s(job or accounting, now_s))
    if job:
        return RunState(State.RUNNING, _join(_ACTIVITIES.get(job.state, ""), earlier), now_s)
    if evidence.slurm_answers and not evidence.why_unasked:
        return _judge_forgotten(evidence, first, now_s)
    reason = evidence.why_unasked or "Slurm does not answer"
    if not first:
        submitted_s = evidence.jobs[-1].submitted_s
        reason = f"{reason}; submitted {_ago(submitted_s, now_s)}"
        return RunState(State.PENDING, reason, submitted_s, stale=now_s - submitted_s > STALE_S)
    state = State.RUNNING if first.ended_s is None else State.PENDING
    reason = f"{reason}; {_last_heartbeat(first, now_s)}"
    return RunState(state, reason, first.sign_s, stale=now_s - first.sign_s > STALE_S)


def _judge_waiting(evidence: Evidence, job: QueuedJob, now_s: float, earlier: str) -> RunState:
    """Judge a job in the queue: its first start, or the next one after a failure."""
    tasks, failure = sorted(evidence.last_tasks, key=attrgetter("rank")), evidence.failure
    decider = next((task for task in tasks if task.will_restart), tasks[0] if tasks else None)
    is_cause = failure is not None and failure.is_cause
    why = explain_failure(failure, names_node=evidence.names_node) if failure and is_cause else None
    reason = _join(explain_wait(job, decider, now_s, why), earlier)
    return RunState(State.PENDING, reason, now_s, failure=failure)


def _judge_forgotten(  # noqa: PLR0911  one line per case
    evidence: Evidence, first: TaskRecord | None, now_s: float
) -> RunState:
    """Judge by what is written in the run's folder: Slurm no longer knows the job."""
    tasks, code = evidence.last_tasks, evidence.exit_code
    ended_s = max((task.ended_s or task.beat_s for task in tasks), default=evidence.jobs[-1].submitted_s)
    if first is None and code and not evidence.cancel_requested_s:  # the job's shell lived to write it
        return explain_end(State.FAILED, evidence, ended_s)
    if first is None:
        if now_s - evidence.answer_age_s - evidence.jobs[-1].submitted_s < _NEW_JOB_S:
            return RunState(State.PENDING, "just submitted", now_s)
        if evidence.cancel_requested_s:
            return RunState(State.CANCELLED, BEFORE_START, evidence.cancel_requested_s)
        return RunState(State.LOST, "Slurm no longer knows the job, and it never began", ended_s)
    slurm_state = next((task.slurm_state for task in tasks if task.slurm_state in STATES_OF_SLURM), None)
    if slurm_state:
        return explain_end(STATES_OF_SLURM[slurm_state], evidence, ended_s)
    if evidence.cancel_requested_s:
        return RunState(State.CANCELLED, "", evidence.cancel_requested_s, code)
    if code == 0:
        return RunState(State.COMPLETED, "", ended_s, 0)
    if code is not None:
        return explain_end(State.FAILED, evidence, ended_s)
    if first.stop_cause == StopCause.TERMINATED:
        return RunState(State.CANCELLED, "the job was told to stop, and Slurm no longer knows why", ended_s)
    lost = now_s - first.sign_s > STALE_S
    reason = f"Slurm no longer knows the job; {_last_heartbeat(first, now_s)}"
    return RunState(State.LOST if lost else State.RUNNING, reason, first.sign_s)


def _ended_s(job: QueuedJob | JobFacts | None, now_s: float) -> float:
    return job.end_s if job and job.end_s else now_s


def _join(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _last_heartbeat(task: TaskRecord, now_s: float) -> str:
    return f"last heartbeat {_ago(task.sign_s, now_s)}"


def _ago(time_s: float, now_s: float) -> str:
    age_s = length_s(time_s, now_s)
    return "at a time that clocks contradict" if age_s is None else f"{format_duration(age_s)} ago"
