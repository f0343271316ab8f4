"""Release a job that Slurm holds because a node could not start it: that is no fault of the run.

slurmd could not set the job up, or a prolog failed: the node is drained, and the job requeued and held until somebody
releases it (slurm.conf(5), Prolog and nohold_on_prolog_fail; its user may, burrmill/burrmill#15).
"""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

from ....cluster_profiles.files.bounded_file import read_text
from ....cluster_profiles.modes import open_file
from ....errors import SlurmRefused, SlurmUnavailable, UnreadableFile
from ...run_folder.cancel_request import cancel_requested_s
from ...slurm import client as slurm
from ...slurm.jobs import QueuedJob
from .queue_reasons import LAUNCH_FAILED, RELEASED

_RELEASED_FILE = "released.jsonl"
_MOST_RELEASES = 3  # of one job: a node that is not drained would be given it again and again


def release_failed_launch(folder: Path, job: QueuedJob | None) -> QueuedJob | None:
    """Release the job of a run, if a failed launch is why it is held; return it as it is then.

    It stays as it is once it was released 3 times, where Slurm refuses, and where the run is to be cancelled.
    """
    if job is None or job.reason.strip("()").replace("_", " ") != LAUNCH_FAILED:
        return job
    if cancel_requested_s(folder) is not None or _count_releases(folder, job.job_id) >= _MOST_RELEASES:
        return job
    try:
        _append_release(folder, job.job_id)
        slurm.release(job.job_id)
    except (OSError, SlurmRefused, SlurmUnavailable):
        return job
    return replace(job, reason=RELEASED)


def _count_releases(folder: Path, job_id: str) -> int:
    """Return how often a job was released; where the file cannot be read, that it was often enough."""
    try:
        lines = read_text(folder / _RELEASED_FILE).splitlines()
    except FileNotFoundError:
        return 0
    except UnreadableFile:
        return _MOST_RELEASES
    return sum(json.dumps(job_id) in line for line in lines)


def _append_release(folder: Path, job_id: str) -> None:
    line = json.dumps({"job": job_id, "time_s": time.time()}) + "\n"
    file = open_file(folder / _RELEASED_FILE, os.O_APPEND)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
