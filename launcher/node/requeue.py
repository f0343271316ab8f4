"""A restart on Slurm: the job is requeued, or followed by a successor where Slurm may not requeue it."""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import ClusterplanError, SlurmRefused, SlurmUnavailable, SubmissionError, UnreadableFile
from ..run_folder.final_status import write_final_status
from ..run_folder.folder import REQUEST_FILE
from ..run_folder.owners.own_files import open_own_file
from ..run_folder.records.files import read_record
from ..run_folder.task_records import TaskRecord
from ..slurm import client as slurm
from ..slurm.jobs import PREEMPTED
from ..submission.executor.script import JobClass
from ..submission.request import SlurmRequest
from ..submission.submit import submit_runs
from .context import SIGNAL_DELAY_S, TaskContext
from .stop.slurm_reason import REQUEUED, SlurmVerdict, judge_job, read_verdict

_REQUEUE_S = 120.0  # for Slurm to end the job that it requeues
_NO_ANSWER_S = 600.0  # for a controller that is down to come back
_RETRY_S = 5.0


def wait_for_verdict(task: TaskContext) -> SlurmVerdict:
    """Return what Slurm does with this task's job, once somebody can say it.

    A job that ends by itself while the controller is down would not be requeued, so a task that was stopped waits.
    """
    record, verdict = task.file.record, SlurmVerdict(None, is_running=False)
    deadline_s = time.monotonic() + (_NO_ANSWER_S if record.outcome == "stopped" else 0)
    while True:
        try:
            return read_verdict(task.slurmd_log, record.job, record.restart)
        except SlurmRefused:
            return verdict
        except SlurmUnavailable:
            if time.monotonic() >= deadline_s or not shutil.which("scontrol"):
                return verdict
        task.file.update()
        time.sleep(_RETRY_S)


def requeue_job(task: TaskContext, queue_successor: Callable[[Path, str], str | None]) -> None:
    """Requeue this task's job and wait until Slurm ends it; where that is refused, call `queue_successor`.

    A job that is being preempted stays to be killed at the end of its grace: only then does Slurm requeue it.
    """
    record = task.file.record
    refusal = _request_requeue(record)
    if refusal is None:
        time.sleep(_REQUEUE_S)
        return
    if record.slurm_state == PREEMPTED and not refusal.is_certain:
        time.sleep(max(refusal.ends_s - time.time(), 0) + _REQUEUE_S)
    try:
        successor = queue_successor(task.folder, record.job)
    except ClusterplanError as error:
        reason = f"{refusal.reason}, and no successor could be queued: {error}"
        write_final_status(task.folder, "timed_out", record.exit_code, reason, ended_s=task.file.now_s())
        task.file.update(will_restart=False, reason=reason)
        return
    task.file.update(reason=f"{record.reason}; {refusal.reason}, so job {successor} continues the run")


@dataclass(frozen=True)
class _Refusal:
    """Why Slurm does not requeue a job; `is_certain` where it never does; else it may do so after `ends_s`."""

    reason: str
    is_certain: bool
    ends_s: float


def _request_requeue(record: TaskRecord) -> _Refusal | None:
    ends_s = time.time()
    try:
        facts = slurm.read_job(record.job)
        if facts and facts.requeue is False:
            return _Refusal("Slurm may not requeue this job", is_certain=True, ends_s=ends_s)
        ends_s = (facts and facts.end_s) or ends_s
        slurm.requeue(record.job)
    except ClusterplanError as error:
        # A requeue ends all processes of the job, scontrol too: then it fails although the requeue is accepted.
        time.sleep(SIGNAL_DELAY_S)
        if _is_requeued(record):
            return None
        return _Refusal(str(error), is_certain=False, ends_s=ends_s)
    return None


def _is_requeued(record: TaskRecord) -> bool:
    try:
        return judge_job(slurm.read_job(record.job), record.restart).state == REQUEUED
    except ClusterplanError:
        return False


def queue_successor(folder: Path, job: str, job_class: JobClass) -> str:
    """Submit the run in `folder` again, to start once `job` has ended; return the new job's id.

    Raises SubmissionError.
    """
    try:
        request = read_record(SlurmRequest, folder / REQUEST_FILE, open_own_file)
    except UnreadableFile as error:
        raise SubmissionError(str(error)) from None
    if request is None:
        raise SubmissionError(f"{folder / REQUEST_FILE}: is missing")
    further = tuple((name, value) for name, value in request.further if name != "dependency")
    after = dataclasses.replace(request, further=(*further, ("dependency", f"afterany:{job}")))
    ids, _ = submit_runs([folder], after, os.environ.get("SLURM_CLUSTER_NAME"), job_class)
    return ids[0]
