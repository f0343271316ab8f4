"""All evidence about a run, and the one state that follows from it: pure.

Evidence in the order it is believed: the run's own last word; Slurm's queue, then accounting where there is any,
with what the tasks said as they ended; what they said alone; the exit code that the job's shell saw; the age of the
last heartbeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ...cluster_profiles.units import format_duration
from ..node.restart_policy import StopCause
from ..run_folder.job_log import SubmittedJob
from ..run_folder.log_errors import is_out_of_memory
from ..run_folder.task_records import Attempt, TaskRecord
from ..slurm.jobs import PREEMPTED, JobFacts, QueuedJob
from .queue_reasons import PREEMPTED_REASON, WAITING_STATES, explain_wait

STALE_S = 120.0  # six heartbeats
_SIGKILL = 128 + 9


class State(StrEnum):
    """Where a run is."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    NODE_FAILURE = "node_failure"
    LOST = "lost"


OPEN_STATES = (State.PENDING, State.RUNNING)

_SLURM_ENDED = {
    "COMPLETED": State.COMPLETED,
    "FAILED": State.FAILED,
    "OUT_OF_MEMORY": State.OUT_OF_MEMORY,
    "TIMEOUT": State.TIMED_OUT,
    "DEADLINE": State.TIMED_OUT,
    PREEMPTED: State.PREEMPTED,
    "CANCELLED": State.CANCELLED,
    "REVOKED": State.CANCELLED,
    "NODE_FAIL": State.NODE_FAILURE,
    "BOOT_FAIL": State.NODE_FAILURE,
}
_SLURM_RUNS = {
    "COMPLETING": "stopping",
    "SIGNALING": "stopping",
    "STAGE_OUT": "stopping",
    "SUSPENDED": "suspended",
}


@dataclass(frozen=True)
class Evidence:
    """What is known of one run.

    `slurm` is its newest job as squeue lists it, `accounted` as accounting has it; `slurm_answers` whether it was
    asked, `elsewhere` the name of another cluster that the job belongs to.
    """

    final: Mapping[str, Any] | None
    jobs: Sequence[SubmittedJob]
    attempts: Sequence[TaskRecord]
    exits: Mapping[Attempt, int]
    slurm: QueuedJob | None
    slurm_answers: bool
    accounted: JobFacts | None
    alive: bool | None
    cancelled_s: float | None
    began_s: float = 0.0
    killed_words: str | None = None
    elsewhere: str | None = None


@dataclass(frozen=True)
class RunState:
    """One state, why, and when it was known; `stale` where nothing has been heard for long."""

    state: State
    reason: str
    known_at: float
    exit_code: int | None = None
    stale: bool = False

    @property
    def final(self) -> bool:
        """Whether it will not change any more."""
        return self.state not in OPEN_STATES


def judge_state(evidence: Evidence, now: float) -> RunState:
    """The state that follows from all that is known at `now`."""
    if evidence.final:
        told = evidence.final
        code, words = told.get("exit_code"), told.get("error")
        why = f"exit code {code}: {words}" if words else told.get("reason") or ""
        return RunState(State(told["state"]), str(why), told.get("ended_s") or now, code)
    if not evidence.jobs:
        if now - evidence.began_s < STALE_S:
            return RunState(State.PENDING, "being submitted", now)
        return RunState(State.LOST, "it was never submitted", now)
    job = evidence.jobs[-1]
    tasks = [a for a in evidence.attempts if a.job == job.job]
    last = [a for a in tasks if a.restart == max(t.restart for t in tasks)]
    if job.executor == "local":
        return _here(evidence, job, last, now)
    return _on_slurm(evidence, last, now)


def _here(  # noqa: PLR0911  one line a case
    evidence: Evidence, job: SubmittedJob, last: Sequence[TaskRecord], now: float
) -> RunState:
    if not last:
        if now - job.submitted_s < STALE_S:
            return RunState(State.PENDING, "starting", now)
        return RunState(State.LOST, "its process never began", now)
    attempt = last[0]
    if evidence.alive is None:
        said = f"runs on {attempt.host}, which alone can say more; last heard of {_ago(now - attempt.beat_s)}"
        return RunState(State.RUNNING, said, attempt.beat_s, stale=now - attempt.beat_s > STALE_S)
    if evidence.alive and attempt.state == "waiting":
        return RunState(State.PENDING, "waiting for GPUs of this machine", now)
    if evidence.alive:
        return RunState(State.RUNNING, "stopping" if attempt.state == "stopping" else "", now)
    at = attempt.ended_s or attempt.beat_s
    if _tasks_code(last) == 0:
        return RunState(State.COMPLETED, "", at, 0)
    if attempt.outcome == "failed" and not attempt.will_restart:
        return _ended(State.FAILED, evidence, last, None, at)
    if evidence.cancelled_s:
        return RunState(State.CANCELLED, "", evidence.cancelled_s)
    return RunState(State.FAILED, "its process was killed, and could say nothing", attempt.beat_s, _SIGKILL)


def _on_slurm(evidence: Evidence, last: Sequence[TaskRecord], now: float) -> RunState:
    first = next((a for a in last if a.rank == 0), last[0] if last else None)
    known = evidence.slurm
    accounted = evidence.accounted
    state = known.state if known else accounted.state if accounted else None
    if known and known.state in WAITING_STATES:
        return RunState(State.PENDING, explain_wait(known, first, now), now)
    if state and state.split()[0] in _SLURM_ENDED:
        return _ended(_SLURM_ENDED[state.split()[0]], evidence, last, known, now)
    if known:
        return RunState(State.RUNNING, _SLURM_RUNS.get(known.state, ""), now)
    if not evidence.slurm_answers or evidence.elsewhere:
        whose = f"on cluster {evidence.elsewhere}" if evidence.elsewhere else "Slurm does not answer"
        beat = first.beat_s if first else evidence.jobs[-1].submitted_s
        guess = State.RUNNING if first and first.ended_s is None else State.PENDING
        stale = now - beat > STALE_S
        return RunState(guess, f"{whose}; last heard of {_ago(now - beat)}", beat, stale=stale)
    return _forgotten(evidence, last, first, now)


def _ended(
    state: State, evidence: Evidence, last: Sequence[TaskRecord], known: QueuedJob | None, now: float
) -> RunState:
    """Slurm says it ended; what its tasks said tells more."""
    told = known or evidence.accounted
    at = told.end_s if told and told.end_s else now
    code = _exit_code(evidence, last)
    failed = next((a for a in last if a.outcome == "failed"), None)
    if state is State.FAILED and failed:
        memory = is_out_of_memory(failed.error, failed.exit_code)
        wrong = f"exit code {failed.exit_code}" + (f": {failed.error}" if failed.error else "")
        rank = f"rank {failed.rank}: " if len(last) > 1 else ""
        return RunState(State.OUT_OF_MEMORY if memory else state, f"{rank}{wrong}", at, failed.exit_code)
    if state is State.FAILED and is_out_of_memory(evidence.killed_words, code):
        return RunState(State.OUT_OF_MEMORY, evidence.killed_words or "", at, code)
    if state is State.FAILED and code is not None and not last:
        why = f": {evidence.killed_words}" if evidence.killed_words else ""
        return RunState(state, f"exit code {code}, before the run began{why}", at, code)
    if state is State.FAILED and code is not None:
        said = (
            "its process was killed (SIGKILL), and could say nothing"
            if code == _SIGKILL
            else f"exit code {code}"
        )
        return RunState(state, said, at, code)
    words = {
        State.FAILED: ""
        if last
        else "ended before the run began, and wrote nothing: does its node see the folder?",
        State.TIMED_OUT: "the time limit ended it",
        State.CANCELLED: "" if last else "before it began",
        State.NODE_FAILURE: f"{_lost_node(told.nodes if told else '')} failed",
        State.PREEMPTED: PREEMPTED_REASON,
        State.OUT_OF_MEMORY: "out of the memory it asked for",
    }
    return RunState(state, words.get(state, ""), at, code)


def _forgotten(  # noqa: PLR0911  one line a case
    evidence: Evidence, last: Sequence[TaskRecord], first: TaskRecord | None, now: float
) -> RunState:
    """Slurm knows the job no more: what is left is what was written down."""
    code = _exit_code(evidence, last)
    at = max((a.ended_s or a.beat_s for a in last), default=evidence.jobs[-1].submitted_s)
    if first is None and code and not evidence.cancelled_s:  # the job's shell lived to say so
        return _ended(State.FAILED, evidence, last, None, at)
    if first is None:
        if now - evidence.jobs[-1].submitted_s < STALE_S / 4:
            return RunState(State.PENDING, "just submitted", now)
        if evidence.cancelled_s:
            return RunState(State.CANCELLED, "before it began", evidence.cancelled_s)
        return RunState(State.LOST, "Slurm has forgotten the job, and it never began", at)
    told = next((a.slurm_state for a in last if a.slurm_state in _SLURM_ENDED), None)
    if told:
        return _ended(_SLURM_ENDED[told], evidence, last, None, at)
    if evidence.cancelled_s:
        return RunState(State.CANCELLED, "", evidence.cancelled_s, code)
    if code == 0:
        return RunState(State.COMPLETED, "", at, 0)
    if code is not None:
        return _ended(State.FAILED, evidence, last, None, at)
    if first.stop_cause == StopCause.TERMINATED:
        return RunState(State.CANCELLED, "it was asked to stop, and Slurm has forgotten why", at)
    said = f"last heard of {_ago(now - first.beat_s)}; Slurm has forgotten the job"
    return RunState(State.LOST if now - first.beat_s > STALE_S else State.RUNNING, said, first.beat_s)


def _exit_code(evidence: Evidence, last: Sequence[TaskRecord]) -> int | None:
    """What the job's shell saw; where the disk had no room for that, what its tasks said."""
    job = evidence.jobs[-1].job
    start = last[0].restart if last else max((n for j, n in evidence.exits if j == job), default=0)
    told = evidence.exits.get(Attempt(job, start))
    known = _tasks_code(last) if told is None and last else told
    return evidence.accounted.exit_code if known is None and evidence.accounted else known


def _tasks_code(last: Sequence[TaskRecord]) -> int | None:
    failed = [a.exit_code for a in last if a.outcome == "failed"]
    if failed:
        return failed[0]
    return 0 if len(last) == last[0].ranks and all(a.outcome == "completed" for a in last) else None


def _lost_node(nodes: str) -> str:
    """Slurm names the nodes of the job, and not the one that failed."""
    if not nodes:
        return "its node"
    return f"one of {nodes}" if "," in nodes or "[" in nodes else f"node {nodes}"


def _ago(seconds: float) -> str:
    return f"{format_duration(max(seconds, 0))} ago"
