"""Stop runs for good, on Slurm and on this machine."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import SlurmRefused, SlurmUnavailable
from ..run_folder.cancel_request import withdraw_cancel_request, write_cancel_request
from ..run_folder.folder import SUBMITIT, check_own_run
from ..run_folder.job_log import read_jobs
from ..run_folder.owners.process import signal_task
from ..run_folder.task_records import read_task_records
from ..slurm import client as slurm
from ..slurm.jobs import JobOwner
from .status import Statuses, read_statuses


def cancel_runs(folders: Sequence[Path], reason: str = "") -> Statuses:
    """Ask runs to stop, for good and for a `reason` if there is one; return their statuses from before.

    A run of which nobody can tell the status stays as it is.  Raises InputError for a run of another user,
    SlurmUnavailable, and SlurmRefused, also for a run whose job is another's.
    """
    for folder in folders:
        if os.geteuid() != 0:
            check_own_run(folder, "stop")
    statuses, faults = read_statuses(folders)
    open_folders = [status.folder for status in statuses if not status.state.final]
    for folder in open_folders:
        write_cancel_request(folder, reason)  # first: a job that begins, or that is saving, looks for it
    jobs = {
        folder: job for folder in open_folders for job in read_jobs(folder)[-1:]
    }  # none before submission
    on_slurm = {folder: job.job for folder, job in jobs.items() if job.executor == "slurm"}
    _cancel_jobs(on_slurm)
    for folder in jobs.keys() - on_slurm.keys():
        for task in read_task_records(folder)[-1:]:
            signal_task(folder, task, signal.SIGTERM)
    return Statuses(statuses, faults)


def _cancel_jobs(jobs: Mapping[Path, str]) -> None:
    """Cancel the job of each run, but for a number that Slurm has given to another job since, or that was made up."""
    others = dict[Path, JobOwner]()
    try:
        owners = slurm.read_job_owners(jobs.values())
        others = {
            folder: owners[job] for folder, job in jobs.items() if not _is_of_run(folder, owners.get(job))
        }
        slurm.cancel_jobs(*(job for folder, job in jobs.items() if job in owners and folder not in others))
    except (SlurmRefused, SlurmUnavailable):
        for folder in jobs:
            withdraw_cancel_request(folder)
        raise
    for folder in others:
        withdraw_cancel_request(folder)
    if others:
        texts = (
            f"job {jobs[folder]} is not of {folder.name}, but {other}" for folder, other in others.items()
        )
        raise SlurmRefused(f"{'; '.join(texts)}: it goes on")


def _is_of_run(folder: Path, owner: JobOwner | None) -> bool:
    """Return whether a job is of the run's user, and writes into the run's folder; a job that is over counts as the run's."""
    if owner is None:
        return True
    where = Path(os.path.realpath(folder / SUBMITIT))  # a sweep has the folder of its first run
    return owner.uid == folder.stat().st_uid and owner.output.parts[-3:-1] == where.parts[-2:]
