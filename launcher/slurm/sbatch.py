"""Hand a batch script to sbatch, or to whatever a site has put in its place, and read which job came of it.

sbatch is a wrapper or has a filter behind it at many sites: it prints banners, notes, JSON or nothing, and may fail
after the job is queued (dask/dask-jobqueue#209).  So its word is checked against the queue before a job is called
refused.
"""

import os
import re
import subprocess
import textwrap
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...cluster_profiles.modes import umask_in
from ...errors import ClusterplanError, JobUnknown, SubmissionError
from .client import ask, clean_environment
from .text import (
    SbatchAnswer,
    parse_complaints,
    parse_notes,
    parse_sbatch_answer,
    without_colours,
)

_LOOKS, _BETWEEN_S = 4, 0.5  # at the queue, for a job that sbatch did not name
_WIDTH = 4096  # of a path in squeue
_LONGEST = 200  # characters of an answer that nobody understands
# The controller had the request, so it may have queued the job.
_LOST_ANSWER = re.compile(r"timed out|zero bytes were transmitted", re.IGNORECASE)
_QUEUE_FORMAT = f"ArrayJobID:24,State:24,Reason:64,StdOut:{_WIDTH}"
# Slurm keeps a record of a job that it refused (seen with 22.05).
_NEVER_QUEUED = ("FAILED", "BadConstraints")


@dataclass(frozen=True)
class QueuedScript:
    """The job that came of a script: its id, the Slurm that has it if sbatch says so, and the site's notes."""

    job_id: str
    cluster: str | None
    notes: tuple[str, ...]


def submit_script(
    script: Path, logs: Path, earlier: Collection[str], environment: Mapping[str, str]
) -> QueuedScript:
    """Queue `script`, whose output goes into the folder `logs`; return its job.

    `earlier` are the ids of other jobs that write there; `environment` becomes the job's, without what would change
    its shape.  Raises SubmissionError with sbatch's words if no job is queued, and JobUnknown if that cannot be told.
    """
    try:
        process = subprocess.run(  # noqa: S603  no limit: it may have queued the job, and only it knows
            ["sbatch", "--parsable", script],  # noqa: S607  the site's own sbatch
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            umask=umask_in(logs),  # Slurm gives it to the job, and its log files
            check=False,
        )
    except OSError as error:
        raise SubmissionError(f"sbatch cannot be started: {error.strerror}") from None
    output, complaints = without_colours(process.stdout), without_colours(process.stderr)
    job = None if process.returncode else parse_sbatch_answer(output)
    is_refused = process.returncode != 0 and not _LOST_ANSWER.search(complaints)
    try:
        job = job or find_job(logs, earlier, looks=1 if is_refused else _LOOKS)
    except ClusterplanError as error:
        if not is_refused:
            raise JobUnknown(f"sbatch names no job ({_shorten(output or complaints)}), and {error}") from None
    if job:
        return QueuedScript(job.job_id, job.cluster, parse_notes(complaints))
    if process.returncode:
        raise SubmissionError(f"sbatch refused: {parse_complaints(complaints or output)}")
    raise JobUnknown(
        f"sbatch names no job ({_shorten(output or complaints)}), and squeue shows none of this run"
    )


def find_job(logs: Path, earlier: Collection[str], *, looks: int) -> SbatchAnswer | None:
    """Return the job that writes into `logs`, as the queue has it; None if there is none.  Raises ClusterplanError."""
    mine = f"--user={os.getuid()}"
    for look in range(looks):
        if look:
            time.sleep(_BETWEEN_S)
        question = ("squeue", mine, "--states=all", "--noheader", f"--Format={_QUEUE_FORMAT}")
        rows = ask(*question, patient=True)
        for row in rows.splitlines():
            job_id, state, reason, path = (*row.split(maxsplit=3), *[""] * 4)[:4]
            is_new = job_id.isdecimal() and job_id not in earlier and (state, reason) != _NEVER_QUEUED
            if is_new and path.strip().startswith(f"{logs}/"):
                return SbatchAnswer(job_id, None)
    return None


def _shorten(text: str) -> str:
    """Return what was printed, in one short line."""
    return repr(textwrap.shorten(text, _LONGEST)) if text.strip() else "it printed nothing"
