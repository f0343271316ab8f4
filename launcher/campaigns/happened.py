"""What became of the jobs of a submitted campaign, from the states of their runs."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ...errors import SlurmUnavailable, UnreadableFile
from ...estimator.campaign.launching.happened import Fate, Happened
from ..run_folder.cancel_request import read_cancel_request
from ..run_folder.folder import RUN_FILE, SUBMITIT, file_exists, history_path
from ..run_folder.job_log import append_missing_job, read_jobs
from ..run_folder.records.run_facts import RunFacts, read_run_facts
from ..run_folder.registry import registered_folders
from ..run_folder.stages.order import WAITS_FOR
from ..runs.run_status import RunStatus
from ..runs.state import OPEN_STATES, State
from ..runs.status import Statuses, read_statuses
from ..slurm.sbatch import find_job
from .record import CampaignJobRecord, CampaignRecord

PLANNED_ANEW = "its campaign was planned anew"  # the reason of a cancel: the job is to be submitted again
_CLOCKS_S = 5.0


def adopt_runs(record: CampaignRecord) -> CampaignRecord:
    """Return the record with the runs of submissions that were begun, and of which it says nothing: their process was killed."""
    begun = [job for job in record.jobs if job.submitting_s is not None]
    if not begun:
        return record
    known = {run for job in record.jobs for run in job.runs}
    since_s = min(job.submitting_s or 0.0 for job in begun) - _CLOCKS_S
    found = dict(_runs_of(record.campaign, since_s, known))
    for job in begun:
        runs = (*job.runs, str(found[job.job])) if job.job in found else job.runs
        record = record.with_job(replace(job, runs=runs, submitting_s=None))
    return record


def _runs_of(campaign: str, since_s: float, known: set[str]) -> Iterable[tuple[str, Path]]:
    """Yield job and folder of the runs of a campaign that have a job, and that the record does not know."""
    for folder in registered_folders(history_path(os.environ)):
        try:
            facts = read_run_facts(folder)
            has_job = bool(read_jobs(folder)) or _find_lost_job(folder, facts)
        except UnreadableFile:
            continue
        of = facts.get("campaign") or {}
        is_new = (facts.get("began_s") or 0.0) >= since_s and str(folder) not in known
        if of.get("campaign") == campaign and is_new and has_job:
            yield of.get("job", ""), folder


def _find_lost_job(folder: Path, facts: RunFacts) -> bool:
    """Write down the job of a run whose submission was killed before it could; return whether there is one."""
    if facts.get("executor") != "slurm":
        return False
    queued = find_job(folder / SUBMITIT, (), looks=1)
    if queued:
        append_missing_job(folder, "slurm", queued.job_id, queued.cluster)
    return queued is not None


class Seen(NamedTuple):
    """What was seen of a campaign: its record with the runs that others go on as, what became of each job, and why Slurm is silent."""

    record: CampaignRecord
    happened: dict[str, Happened]
    silence: str


def follow_runs(record: CampaignRecord) -> tuple[CampaignRecord, dict[str, Happened]]:
    """Return what became of each job, and the record with runs that others go on from in their place.

    Slurm is asked once.  Raises SlurmUnavailable if it does not answer: then nobody can tell what still runs.
    """
    seen = look_at_runs(record)
    if seen.silence:
        raise SlurmUnavailable(f"{seen.silence}: what became of the jobs is not known, so nothing is changed")
    return seen.record, seen.happened


def look_at_runs(record: CampaignRecord, read: Callable[[Sequence[Path]], Statuses] = read_statuses) -> Seen:
    """Return what became of each job as far as can be told now, from what `read` returns of the folders of its runs."""
    folders = {job.job: job.folder for job in record.jobs if job.folder}
    there = [folder for folder in folders.values() if file_exists(folder / RUN_FILE)]
    statuses, faults = read(there)
    by_run = {status.run: status for status in statuses}
    silence = next((status.slurm_silence for status in statuses if status.slurm_silence), "")
    wrong = {fault.folder: fault.text for fault in faults}
    happened = dict[str, Happened]()
    for job in record.jobs:
        folder, successor = job.folder, None
        status = by_run.get(folder.name) if folder else None
        if status and status.continued_by and folder:
            successor = folder.with_name(status.continued_by)
        if successor and file_exists(successor / RUN_FILE):
            record = record.with_job(replace(job, runs=(*job.runs, str(successor))))
            status = next(iter(read([successor]).statuses), status)
        happened[job.job] = _happened(job, status, wrong)
    return Seen(record, happened, silence)


def _happened(job: CampaignJobRecord, status: RunStatus | None, wrong: dict[Path, str]) -> Happened:
    if job.folder is None:
        return Happened(Fate.WAITING, Fate.WAITING)
    if status is None:
        what = wrong.get(job.folder, f"the folder of run {job.folder.name} is gone")
        remedy = "take it out of the campaign, or give it another name there, which submits it anew"
        return Happened(
            Fate.FAILED, "gone", job.start_s, job.end_s, gpu_s=job.gpu_s, reason=what, remedy=remedy
        )
    state, start_s = status.state, status.began_s
    fate = _fate(status)
    if fate in (Fate.BLOCKED, Fate.WAITING):
        return Happened(fate, str(fate), reason=state.reason or "")
    length_s = status.elapsed_s or 0.0
    todo = status.remedy
    return Happened(
        fate,
        str(state.state),
        start_s,
        state.known_at if state.final else None,
        status.progress.eta_s if status.progress and not state.final else None,
        max(length_s - status.waited_between_s, 0.0) * job.planned.gpus,
        state.reason or "",
        f"{todo.text}: `{todo.command}`" if todo else "",
    )


def _fate(status: RunStatus) -> Fate:
    state = status.state
    if state.state in OPEN_STATES:
        return Fate.PENDING if status.began_s is None else Fate.RUNNING
    if state.state is State.COMPLETED:
        return Fate.COMPLETED
    if state.state is State.CANCELLED and state.reason.startswith(WAITS_FOR):
        return Fate.BLOCKED
    with suppress(UnreadableFile):
        request = read_cancel_request(status.folder)
        if state.state is State.CANCELLED and request and request.reason == PLANNED_ANEW:
            return Fate.WAITING
    return Fate.FAILED
