"""Why Slurm ends a task: in the words of its daemon beside the task, else in those of its controller.

The controller says COMPLETING of a job that it ends, for whatever reason; the daemon says the reason before it
sends SIGTERM.
"""

import re
from pathlib import Path

from ...errors import ClusterplanError
from ..run_folder.folder import SUBMITIT
from ..slurm import client as slurm

CANCELLED = "CANCELLED"  # as Slurm spells it
_WORDS = re.compile(r"\*\*\* (STEP|JOB) \S+ ON \S+ CANCELLED AT \S+ (?:DUE TO ([A-Z ]+))?")
_STATES = {
    "PREEMPTION": "PREEMPTED",
    "TIME LIMIT": "TIMEOUT",
    "NODE FAILURE": "NODE_FAIL",
    "JOB REQUEUE": "REQUEUED",
}


class SlurmdLog:
    """What Slurm's daemon says of one start of a job, which begins now; a restart goes on in the same file."""

    def __init__(self, folder: Path, job: str) -> None:
        self._path = folder / SUBMITIT / f"{job}_0_log.err"  # of the first task, and of the job's own shell
        self._start = len(self._text())

    def state(self) -> str | None:
        """PREEMPTED, TIMEOUT, NODE_FAIL, REQUEUED or CANCELLED; None as long as nothing is said."""
        return parse_slurmd_state(self._text()[self._start :].decode(errors="replace"))

    def _text(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError:
            return b""


def parse_slurmd_state(text: str) -> str | None:
    """The same, of a text.  A step alone is also cancelled when one of its tasks fails: that is none.

    >>> parse_slurmd_state("slurmstepd-n1: error: *** STEP 3.0 ON n1 CANCELLED AT 2026-11-25T14:24:34 DUE TO PREEMPTION ***")
    'PREEMPTED'
    >>> parse_slurmd_state("slurmstepd-n1: error: *** STEP 3.0 ON n1 CANCELLED AT 2026-11-25T14:24:34 ***") is None
    True
    """
    for whose, why in reversed(_WORDS.findall(text)):
        if why.strip() in _STATES:
            return _STATES[why.strip()]
        if whose == "JOB" and not why:
            return CANCELLED
    return None


def read_slurm_state(job: str, restart: int) -> str | None:
    """What the controller says of a job that is being ended, if that is a reason."""
    try:
        facts = slurm.read_job(job)
    except ClusterplanError:
        return None
    if facts is None:
        return None
    if (facts.restarts or 0) > restart:
        return "REQUEUED"
    return None if facts.state in ("RUNNING", "COMPLETING") else facts.state
