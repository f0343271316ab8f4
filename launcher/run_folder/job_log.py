"""The jobs of a run: one line for every submission, the first by hand, the rest by a job that could not be requeued."""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ...errors import RunFolderError
from .folder import JOBS_FILE


@dataclass(frozen=True)
class SubmittedJob:
    """A job that a run was given: a Slurm job id, or the process id of its controller on this machine.

    `cluster` is the name of its Slurm, None where it is not known.
    """

    executor: str
    job: str
    submitted_s: float
    cluster: str | None = None


def append_missing_job(folder: Path, executor: str, job: str, cluster: str | None = None) -> None:
    """Add a line for a job that has begun, unless who submitted it did; what cannot be written is left out."""
    if all(known.job != job for known in read_jobs(folder)):
        with suppress(RunFolderError):
            append_job(folder, executor, job, cluster)


def append_job(folder: Path, executor: str, job: str, cluster: str | None = None) -> None:
    """Add a line.  Raises RunFolderError."""
    line = json.dumps(asdict(SubmittedJob(executor, job, time.time(), cluster))) + "\n"
    try:
        file = os.open(folder / JOBS_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
    except OSError as error:
        raise RunFolderError(f"{folder / JOBS_FILE}: job {job} cannot be noted: {error.strerror}") from None


def read_jobs(folder: Path) -> list[SubmittedJob]:
    """The jobs of a run, in order; none if it has not been submitted.  A line that is torn is left out."""
    try:
        lines = (folder / JOBS_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [job for line in lines if (job := _parsed(line))]


def _parsed(line: str) -> SubmittedJob | None:
    try:
        values = json.loads(line)
        return SubmittedJob(
            **{field.name: values[field.name] for field in fields(SubmittedJob) if field.name in values}
        )
    except (ValueError, TypeError):
        return None
