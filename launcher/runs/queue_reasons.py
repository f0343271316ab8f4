"""Why a run waits in Slurm's queue, in a person's words."""

import re

from ...cluster_profiles.units import format_duration
from ..run_folder.task_records import TaskRecord
from ..slurm.jobs import PREEMPTED, QueuedJob

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
    "DependencyNeverSatisfied": "the job it depends on did not end as required: it will never start",
    "BeginTime": "held for a moment after a requeue",
    "Cleaning": "its last start is being cleaned up",
    "PartitionTimeLimit": "asks for more time than its partition allows: it will never start",
    "PartitionNodeLimit": "asks for more nodes than its partition allows: it will never start",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is inactive",
    "ReqNodeNotAvail": "nodes it needs are down or reserved",
    "JobHeldUser": "held by its user: `scontrol release` lets it go",
    "JobHeldAdmin": "held by an administrator",
    "JobHoldMaxRequeue": "held after as many requeues as the site allows: `scontrol release` lets it go",
    "launch failed requeued held": "held because a node could not start it: `scontrol release` lets it go",
    "JobArrayTaskLimit": "as many elements of its array run as may at once",
    "QOSMaxJobsPerUserLimit": "as many jobs of yours run as the QOS allows",
    "AssocGrpGRES": "the account's GPUs are all in use",
    "Licenses": "waiting for licences",
}


def explain_wait(known: QueuedJob, last: TaskRecord | None, now: float) -> str:
    """The reason that Slurm gives, why it was started before if it was, and when Slurm expects to start it."""
    bare = re.split(r"[,(]", known.reason.strip("() "))[0]
    words = REASONS.get(bare, bare if bare not in ("", "None") else "just submitted")
    if last and last.will_restart:
        words = f"restarts: {last.reason}; {words}"
    elif last and last.slurm_state == PREEMPTED:
        words = f"restarts: {PREEMPTED_REASON}; {words}"
    if known.start_s and known.start_s > now:
        words += f"; Slurm expects it to start in {format_duration(known.start_s - now)}"
    return words
