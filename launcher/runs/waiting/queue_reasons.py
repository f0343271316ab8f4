"""Why a run waits in Slurm's queue, in plain words: pure.

The words follow squeue's reason for a pending job.  `end_reasons` explains jobs that ended; `node.stop.slurm_reason` reads
why Slurm stops a task, while the task still runs.
"""

import re

from ....cluster_profiles.local_time import format_local_time
from ....cluster_profiles.units import format_duration
from ...run_folder.task_records import TaskRecord
from ...slurm.jobs import PREEMPTED, QueuedJob
from .limit_reasons import NEVER, explain_limit

LAUNCH_FAILED = "launch failed requeued held"
RELEASED = "launch failed, released"  # ours: Slurm has no word for it yet
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
    "BeginTime": "waiting for its `begin` time",
    "Cleaning": "the nodes of its last attempt are being cleaned up",
    "PartitionTimeLimit": f"it asks for more time than its partition allows: {NEVER}",
    "PartitionNodeLimit": f"it asks for more nodes than its partition allows: {NEVER}",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is inactive",
    "ReqNodeNotAvail": "nodes it needs are down or reserved",
    "ReqNodeNotAvail, Reserved for maintenance": "nodes it needs are reserved for maintenance",
    "ReqNodeNotAvail, May be reserved for other job": "nodes it needs are kept for a job that comes first",
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": (
        "nodes it needs are down, drained or reserved for partitions of higher priority"
    ),
    "JobHeldUser": "its user holds it: `scontrol release JOB` lets it go",
    "JobHeldAdmin": "an administrator holds it",
    "JobHoldMaxRequeue": "Slurm holds it after too many requeues: `scontrol release JOB` lets it go",
    "job requeued in held state": "Slurm holds it after its requeue: `scontrol release JOB` lets it go",
    LAUNCH_FAILED: "Slurm holds it because a node could not start it: `scontrol release JOB` lets it go",
    RELEASED: "a node could not start it, and Slurm held it: now released, it waits for nodes again",
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


_HOLDS = {
    "JobHeldUser",
    "JobHeldAdmin",
    "JobHoldMaxRequeue",
    "MaxRequeueExceeded",
    "job requeued in held state",
    LAUNCH_FAILED,
}
_HELD_STATES = ("REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
_SHORTEST_FORECAST_S = 60.0  # Slurm's own forecasts change by more than that
_AFTER_REQUEUE = "Slurm starts a job again at the earliest two minutes after its requeue"


def explain_wait(job: QueuedJob, task: TaskRecord | None, now_s: float, failure: str | None = None) -> str:
    """Return why `job` waits, why it restarts if it does, and when Slurm expects to start it.

    `task` is the one of its last attempt that decided on the restart, and `failure` says in words how its command
    failed; `now_s` is in Unix seconds.  A job that is held has no start.
    """
    text = job.reason.strip()
    text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    reason = _explain_reason(text).replace("JOB", job.job_id)
    start_s = job.start_s if job.start_s and job.start_s > now_s else None
    if text == "BeginTime" and task:
        reason, start_s = _AFTER_REQUEUE, None
    elif text == "BeginTime" and start_s:
        reason, start_s = f"until {format_local_time(start_s, now_s)}, its `begin` time", None
    if task and task.will_restart:
        reason = f"restarts by itself: {failure or task.reason}; {reason}"
    elif task and task.slurm_state == PREEMPTED:
        reason = f"restarts by itself: {PREEMPTED_REASON}; {reason}"
    is_held = text in _HOLDS or job.state in _HELD_STATES or NEVER in reason
    if start_s and start_s - now_s >= _SHORTEST_FORECAST_S and not is_held:
        reason += f"; Slurm expects it to start in {format_duration(start_s - now_s)}"
    return reason


def explain_refusal(reason: str) -> str | None:
    """Return words for a reason for which Slurm ends a job before it begins; None for any other reason.

    >>> explain_refusal("BadConstraints"), explain_refusal("NonZeroExitCode")
    ('no node has all that it asks for', None)
    """
    words = _explain_reason(reason)
    return words.removesuffix(f": {NEVER}") if words.endswith(NEVER) else None


def _explain_reason(text: str) -> str:
    """Return words for a reason of squeue: those of the whole of it, else those of its first word, and the nodes it names.

    >>> _explain_reason("ReqNodeNotAvail, UnavailableNodes:gpu[1-2]")
    'nodes it needs are down or reserved: gpu[1-2]'
    """
    if text in ("", "None"):
        return "just submitted"
    word = re.split(r"[,(]", text)[0].strip()
    if text in REASONS or word not in REASONS:
        return REASONS.get(text) or explain_limit(text) or explain_limit(word) or text
    nodes = re.search(r"Unavailable\w*:([^\s)]+)", text)
    return f"{REASONS[word]}: {nodes[1]}" if nodes else REASONS[word]
