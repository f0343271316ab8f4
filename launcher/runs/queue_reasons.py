"""Why a run waits in Slurm's queue, in plain words: pure.

The words follow squeue's reason for a pending job.  `end_reasons` explains jobs that ended; `node.stop.slurm_reason` reads
why Slurm stops a task, while the task still runs.
"""

import re

from ...cluster_profiles.units import format_duration
from ..run_folder.task_records import TaskRecord
from ..slurm.jobs import PREEMPTED, QueuedJob
from .limit_reasons import NEVER, explain_limit

PREEMPTED_REASON = "a job of higher priority took its place"
WAITING_STATES = {
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "SPECIAL_EXIT",
    "RESV_DEL_HOLD",
}
REASONS = {
    "Resources": "waiting for nodes to become free",
    "Priority": "other jobs come first",
    "Dependency": "waiting for another job to end",
    "DependencyNeverSatisfied": f"the job it depends on did not end as required: {NEVER}",
    "BeginTime": "waiting for its earliest start: its `begin` option, or two minutes after a requeue",
    "Cleaning": "the nodes of its last attempt are being cleaned up",
    "PartitionTimeLimit": f"it asks for more time than its partition allows: {NEVER}",
    "PartitionNodeLimit": f"it asks for more nodes than its partition allows: {NEVER}",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is inactive",
    "ReqNodeNotAvail": "nodes it needs are down or reserved",
    "JobHeldUser": "its user holds it: `scontrol release JOB` lets it go",
    "JobHeldAdmin": "an administrator holds it",
    "JobHoldMaxRequeue": "Slurm holds it after too many requeues: `scontrol release JOB` lets it go",
    "launch failed requeued held": "Slurm holds it because a node could not start it: `scontrol release JOB` lets it go",
    "JobArrayTaskLimit": "its sweep already runs as many jobs at once as it may",
    "Licenses": "waiting for licences",
    "BadConstraints": f"no node has all that it asks for: {NEVER}",
    "PartitionConfig": f"its partition cannot give what it asks for: {NEVER}",
    "AccountNotAllowed": f"its account may not use this partition: {NEVER}",
    "InvalidAccount": f"its account does not exist: {NEVER}",
    "InvalidQOS": f"its QOS does not exist: {NEVER}",
    "QOSNotAllowed": f"its account or partition does not allow its QOS: {NEVER}",
    "QOSTimeLimit": f"it asks for more time than its QOS allows: {NEVER}",
    "AssociationTimeLimit": f"it asks for more time than its account allows: {NEVER}",
    "QOSUsageThreshold": "its account has used more than its QOS lets it: it starts when that has decayed",
    "AssociationJobLimit": "you already run as many jobs as your account allows",
    "AssociationResourceLimit": "your account already uses as much as it may",
    "QOSJobLimit": "you already run as many jobs as its QOS allows",
    "QOSResourceLimit": "its QOS already uses as much as it may",
    "Reservation": "waiting for its reservation to begin",
    "ReservationDeleted": f"its reservation does not exist any more: {NEVER}",
    "NodeDown": "a node that it needs is down",
    "FrontEndDown": "no front-end node is up",
    "MaxRequeueExceeded": "Slurm holds it after too many requeues: `scontrol release JOB` lets it go",
    "SchedDefer": "Slurm starts nothing for a moment",
}


def explain_wait(job: QueuedJob, task: TaskRecord | None, now_s: float) -> str:
    """Return why `job` waits, why it restarts if it does, and when Slurm expects to start it.

    `task` is the first task of its last attempt; `now_s` is in Unix seconds.
    """
    word = re.split(r"[,(]", job.reason.strip("() "))[0]
    reason = (
        REASONS.get(word) or explain_limit(word) or (word if word not in ("", "None") else "just submitted")
    )
    if task and task.will_restart:
        reason = f"restarts: {task.reason}; {reason}"
    elif task and task.slurm_state == PREEMPTED:
        reason = f"restarts: {PREEMPTED_REASON}; {reason}"
    if job.start_s and job.start_s > now_s:
        reason += f"; Slurm expects it to start in {format_duration(job.start_s - now_s)}"
    return reason
