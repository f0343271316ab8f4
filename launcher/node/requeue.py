"""A restart on Slurm: the job is requeued, or followed by a successor where Slurm may not requeue it."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

from ...errors import ClusterplanError, SubmissionError
from ..run_folder.final_status import write_final_status
from ..run_folder.folder import REQUEST_FILE
from ..slurm import client as slurm
from ..submission.request import SlurmRequest
from ..submission.submit import JobClass, submit_runs
from .context import SIGNAL_DELAY_S, TaskContext, wait_for

_REQUEUE_S = 120.0  # for Slurm to end the job that it requeues


def requeue_job(task: TaskContext, queue_successor: Callable[[Path, str], str | None]) -> None:
    """Requeue this task's job and wait until Slurm ends it; where that is refused, call `queue_successor`."""
    job = task.file.record.job
    try:
        facts = slurm.read_job(job)
        if facts is None or facts.requeue is not False:
            slurm.requeue(job)
            wait_for(lambda: task.signals.terminated, _REQUEUE_S)
            return
        refusal = "Slurm may not requeue this job"
    except ClusterplanError as error:
        refusal = str(error)
        # A requeue ends all processes of the job, scontrol too: then it fails although the requeue is accepted.
        wait_for(lambda: task.signals.terminated, SIGNAL_DELAY_S)
        if task.signals.terminated:
            return
    try:
        successor = queue_successor(task.folder, job)
    except ClusterplanError as error:
        reason = f"{refusal}, and no successor could be queued: {error}"
        write_final_status(task.folder, "timed_out", task.file.record.exit_code, reason)
        task.file.update(will_restart=False, reason=reason)
        return
    task.file.update(reason=f"{task.file.record.reason}; {refusal}, so job {successor} continues the run")


def queue_successor(folder: Path, job: str, job_class: JobClass) -> str:
    """Submit the run in `folder` again, to start once `job` has ended; return the new job's id.

    Raises SubmissionError.
    """
    try:
        request = SlurmRequest.of(json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SubmissionError(f"{folder / REQUEST_FILE}: cannot be read: {error}") from None
    further = tuple((name, value) for name, value in request.further if name != "dependency")
    after = dataclasses.replace(request, further=(*further, ("dependency", f"afterany:{job}")))
    ids, _ = submit_runs([folder], after, os.environ.get("SLURM_CLUSTER_NAME"), job_class)
    return ids[0]
