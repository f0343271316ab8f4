"""The jobs of a run, a line per submission: by the user, then by each job that Slurm may not requeue."""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ...cluster_profiles.modes import open_file
from ...errors import RunFolderError
from .folder import JOBS_FILE
from .records.files import read_lines
from .records.values import Seconds


@dataclass(frozen=True)
class JobEntry:
    """A job of a run.

    `job` is a Slurm job id, or the id of the process that runs it on this machine.  `cluster` is the name of its
    Slurm; None if it is not known, and on this machine.
    """

    executor: str
    job: str
    submitted_s: Seconds
    cluster: str | None = None


def append_missing_job(folder: Path, executor: str, job: str, cluster: str | None = None) -> None:
    """Append a job that has begun, if `submit` could not.  A folder that cannot be written stays as it is."""
    if all(earlier.job != job for earlier in read_jobs(folder)):
        with suppress(RunFolderError):
            append_job(folder, executor, job, cluster)


def append_job(folder: Path, executor: str, job: str, cluster: str | None = None) -> None:
    """Append a job that was just submitted.  Raises RunFolderError."""
    line = json.dumps(asdict(JobEntry(executor, job, time.time(), cluster))) + "\n"
    try:
        file = open_file(folder / JOBS_FILE, os.O_APPEND)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
    except OSError as error:
        raise RunFolderError(
            f"{folder / JOBS_FILE}: job {job} cannot be written down: {error.strerror}"
        ) from None


def read_jobs(folder: Path) -> list[JobEntry]:
    """Return the jobs of a run in order, none before its submission.  A torn line is left out.  Raises UnreadableFile."""
    return read_lines(JobEntry, folder / JOBS_FILE)


def is_superseded(folder: Path, job: str) -> bool:
    """Return whether a later job has the run: this one began again, but it is another's turn."""
    ids = [entry.job for entry in read_jobs(folder)]
    return job in ids and ids[-1] != job
