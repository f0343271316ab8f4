"""Why Slurm ends a task: as slurmd says beside the task, otherwise as the controller says.

The controller reports every job that it ends as COMPLETING; slurmd names the reason before it sends SIGTERM.
In the grace of a preemption it is the other way round: slurmd says nothing, and the controller knows.
The task asks while it is stopped, and its answer is a state of Slurm.  The words for users are made afterwards:
`runs.end_reasons` and `runs.waiting.queue_reasons`.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ....errors import ClusterplanError
from ...run_folder.folder import SUBMITIT
from ...slurm import client as slurm
from ...slurm.jobs import PREEMPTED, JobFacts

CANCELLED, REQUEUED = "CANCELLED", "REQUEUED"  # as Slurm spells them
_RUNNING_STATES = ("RUNNING", "SIGNALING", "SUSPENDED")
_CLOCK_S = 2.0  # Slurm's times are whole seconds
_MESSAGE = re.compile(r"\*\*\* (STEP|JOB) \S+ ON \S+ CANCELLED AT \S+ (?:DUE TO ([A-Z ]+))?")
_STATES = {
    "PREEMPTION": PREEMPTED,
    "TIME LIMIT": "TIMEOUT",
    "NODE FAILURE": "NODE_FAIL",
    "JOB REQUEUE": REQUEUED,
}


class SlurmdLog:
    """The messages of slurmd about one attempt, which begins now; a later attempt goes on in the same file."""

    def __init__(self, folder: Path, job: str) -> None:
        self._path = (
            folder / SUBMITIT / f"{job}_0_log.err"
        )  # that of the first task and of the job's own shell
        self._start = len(self._read())

    def read_state(self) -> str | None:
        """Return PREEMPTED, TIMEOUT, NODE_FAIL, REQUEUED or CANCELLED; None before slurmd has given a reason."""
        return parse_slurmd_state(self._read()[self._start :].decode(errors="replace"))

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError:
            return b""


def parse_slurmd_state(text: str) -> str | None:
    """Return the state that slurmd's last message means; None without one.

    A cancelled step without a reason means nothing: srun cancels it when one of its tasks fails.

    >>> parse_slurmd_state("slurmstepd-n1: error: *** STEP 3.0 ON n1 CANCELLED AT 2026-11-25T14:24:34 DUE TO PREEMPTION ***")
    'PREEMPTED'
    >>> parse_slurmd_state("slurmstepd-n1: error: *** STEP 3.0 ON n1 CANCELLED AT 2026-11-25T14:24:34 ***") is None
    True
    """
    for scope, reason in reversed(_MESSAGE.findall(text)):
        if reason.strip() in _STATES:
            return _STATES[reason.strip()]
        if scope == "JOB" and not reason:
            return CANCELLED
    return None


@dataclass(frozen=True)
class SlurmVerdict:
    """What Slurm does with a job of which a task was told to stop.

    `state` is the reason, as Slurm spells a job's states; None if it gives none.  `is_running` is whether Slurm has not
    ended the job: then what follows is decided on the node.  `ends_s` is when it does, in Unix seconds, if the job is in
    the grace of a preemption.  `is_requeued` is whether Slurm has requeued the job.
    """

    state: str | None
    is_running: bool
    ends_s: float | None = None
    is_requeued: bool = False


def read_verdict(log: SlurmdLog, job: str, restart: int) -> SlurmVerdict:
    """Return what Slurm does with the job.  Raises ClusterplanError if neither slurmd nor the controller says it."""
    state = log.read_state()
    try:
        verdict = judge_job(slurm.read_job(job), restart)
    except ClusterplanError:
        if state:
            return SlurmVerdict(state, is_running=False)
        raise
    return replace(verdict, state=state) if state and not verdict.is_running else verdict


def judge_job(facts: JobFacts | None, restart: int) -> SlurmVerdict:
    """Return what the controller does with a job that had been restarted `restart` times; it has forgotten None.

    A job that is preempted with a grace stays RUNNING until the grace is over, with a PreemptTime and an earlier end
    (GraceTime in https://slurm.schedmd.com/preempt.html; the two fields as Slurm 22.05 sets them).
    """
    if facts is None:
        return SlurmVerdict(None, is_running=False)
    if (facts.restarts or 0) > restart:
        return SlurmVerdict(REQUEUED, is_running=False, is_requeued=True)
    if facts.state in _RUNNING_STATES and _is_preempted(facts):
        return SlurmVerdict(PREEMPTED, is_running=True, ends_s=facts.end_s)
    if facts.state in _RUNNING_STATES:
        return SlurmVerdict(None, is_running=True)
    return SlurmVerdict(None if facts.state == "COMPLETING" else facts.state, is_running=False)


def _is_preempted(facts: JobFacts) -> bool:
    if facts.preempt_s is not None:
        return True
    if facts.start_s is None or facts.end_s is None or facts.limit_s is None:
        return False
    return facts.end_s < facts.start_s + facts.limit_s - _CLOCK_S
