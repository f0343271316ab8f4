"""Why Slurm ends a task: as slurmd says beside the task, otherwise as the controller says.

The controller reports every job that it ends as COMPLETING; slurmd names the reason before it sends SIGTERM.
The task asks while it is stopped, and its answer is a state of Slurm.  The words for users are made afterwards:
`runs.end_reasons` and `runs.queue_reasons`.
"""

import re
from pathlib import Path

from ...errors import ClusterplanError
from ..run_folder.folder import SUBMITIT
from ..slurm import client as slurm

CANCELLED = "CANCELLED"  # as Slurm spells it
_MESSAGE = re.compile(r"\*\*\* (STEP|JOB) \S+ ON \S+ CANCELLED AT \S+ (?:DUE TO ([A-Z ]+))?")
_STATES = {
    "PREEMPTION": "PREEMPTED",
    "TIME LIMIT": "TIMEOUT",
    "NODE FAILURE": "NODE_FAIL",
    "JOB REQUEUE": "REQUEUED",
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


def read_controller_state(job: str, restart: int) -> str | None:
    """Return the controller's state of a job that is being ended; None if it names no reason."""
    try:
        facts = slurm.read_job(job)
    except ClusterplanError:
        return None
    if facts is None:
        return None
    if (facts.restarts or 0) > restart:
        return "REQUEUED"
    return None if facts.state in ("RUNNING", "COMPLETING") else facts.state
