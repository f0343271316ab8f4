"""A job that goes on after one that Slurm may not requeue."""

import dataclasses
import json
import os
from pathlib import Path

from ...errors import SubmissionError
from ..run_folder.folder import REQUEST_FILE
from ..submission.request import SlurmRequest
from ..submission.submit import JobClass, submit


def queue_successor(folder: Path, job: str, job_class: JobClass) -> str:
    """Submit the run in `folder` again, to start once `job` has ended; the new job's id.  Raises SubmissionError."""
    try:
        request = SlurmRequest.of(json.loads((folder / REQUEST_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SubmissionError(f"{folder / REQUEST_FILE}: cannot be read: {error}") from None
    further = tuple((name, value) for name, value in request.further if name != "dependency")
    after = dataclasses.replace(request, further=(*further, ("dependency", f"afterany:{job}")))
    return submit([folder], after, os.environ.get("SLURM_CLUSTER_NAME"), job_class)[0]
