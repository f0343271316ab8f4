"""Stop runs for good, on Slurm and on this machine."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import SlurmRefused, SlurmUnavailable
from ..run_folder.cancel_request import withdraw_cancel_request, write_cancel_request
from ..run_folder.folder import check_own_run
from ..run_folder.job_log import read_jobs
from ..run_folder.task_records import is_process_alive, read_task_records
from ..slurm import client as slurm
from .status import RunStatus, read_statuses


def cancel_runs(folders: Sequence[Path], reason: str = "") -> list[RunStatus]:
    """Ask runs to stop, for good and for a `reason` if there is one; return their statuses from before.

    Raises InputError for a run of another user, SlurmUnavailable and SlurmRefused.
    """
    for folder in folders:
        if os.geteuid() != 0:
            check_own_run(folder, "stop")
    statuses = read_statuses(folders)
    open_folders = [status.folder for status in statuses if not status.state.final]
    for folder in open_folders:
        write_cancel_request(folder, reason)  # first: a job that begins, or that is saving, looks for it
    jobs = {
        folder: job for folder in open_folders for job in read_jobs(folder)[-1:]
    }  # none before submission
    on_slurm = {folder: job.job for folder, job in jobs.items() if job.executor == "slurm"}
    try:
        slurm.cancel_jobs(*on_slurm.values())
    except (SlurmRefused, SlurmUnavailable):
        for folder in on_slurm:
            withdraw_cancel_request(folder)
        raise
    for folder in jobs.keys() - on_slurm.keys():
        for task in read_task_records(folder)[-1:]:
            if is_process_alive(task):
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(task.pid, signal.SIGTERM)
    return statuses
