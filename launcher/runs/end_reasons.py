"""Why a run ended, in plain words: pure.

The words follow the last state of its job and the records of its tasks.  `queue_reasons` explains jobs that wait;
`node.stop.slurm_reason` reads why Slurm stops a task, while the task still runs.
"""

from collections.abc import Mapping

from ..logs.errors import ErrorKind, is_out_of_memory
from ..slurm.jobs import PREEMPTED
from .explain.exit_codes import SIGKILL_CODE, explain_exit, explain_failure
from .state import Evidence, RunState, State
from .waiting.queue_reasons import PREEMPTED_REASON, explain_refusal

STATES_OF_SLURM: Mapping[str, State] = {
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
BEFORE_START = "before it began"
KILLED = "its process was killed (SIGKILL)"


def explain_end(state: State, evidence: Evidence, ended_s: float) -> RunState:
    """Return `state`, at which the run's job ended, with the reason that its tasks, its shell and Slurm tell."""
    if state is State.FAILED:
        return _explain_failure(evidence, ended_s)
    began = bool(evidence.last_tasks)
    job = evidence.queued_job or evidence.accounting
    if job and job.state == "DEADLINE":
        deadline = "its deadline passed" if began else f"its deadline passed {BEFORE_START}"
        return RunState(state if began else State.CANCELLED, deadline, ended_s, evidence.exit_code)
    reasons = {
        State.TIMED_OUT: "the job reached its time limit",
        State.CANCELLED: "" if began else BEFORE_START,
        State.NODE_FAILURE: f"{_failed_node(_nodes(evidence))} failed",
        State.PREEMPTED: PREEMPTED_REASON,
        State.OUT_OF_MEMORY: "the job used more memory of its node than it asked for",
    }
    return RunState(state, reasons.get(state, ""), ended_s, evidence.exit_code)


def _explain_failure(evidence: Evidence, ended_s: float) -> RunState:
    tasks, code, error = evidence.last_tasks, evidence.exit_code, evidence.slurmd_error
    if failure := evidence.failure:
        reason = explain_failure(failure, names_node=evidence.names_node)
        state = State.OUT_OF_MEMORY if failure.kind is ErrorKind.OUT_OF_MEMORY else State.FAILED
        return RunState(state, reason, ended_s, failure.exit_code, failure=failure)
    if is_out_of_memory(error, code):
        return RunState(State.OUT_OF_MEMORY, error or "", ended_s, code)
    job = evidence.queued_job
    if not tasks and not code and job and (why := explain_refusal(job.reason)):
        return RunState(State.FAILED, f"Slurm could not start it: {why}", ended_s)
    if not tasks and code is None:
        reason = "the job ended before the run began, and wrote nothing: check that its node can see the run folder"
    elif not tasks:
        reason = f"exit code {code}, before the run began" + (f": {error}" if error else "")
    elif code is None:
        reason = ""
    else:
        reason = KILLED if code == SIGKILL_CODE else explain_exit(code)
    return RunState(State.FAILED, reason, ended_s, code)


def _nodes(evidence: Evidence) -> str:
    job = evidence.queued_job or evidence.accounting
    return job.nodes if job else ""


def _failed_node(nodes: str) -> str:
    """Return words for the node that failed: Slurm lists the nodes of the job, and does not say which of them failed."""
    if not nodes:
        return "its node"
    return f"one of {nodes}" if "," in nodes or "[" in nodes else f"node {nodes}"
