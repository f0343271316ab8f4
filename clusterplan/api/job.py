"""The job that a use case is given: a job file, a workload, or flags by their names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..estimator.job.job_file import load_workload
from ..estimator.job.workload import Workload

Job = str | os.PathLike[str] | Workload


def read_workload(
    job: Job | None, flags: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> Workload:
    """Return the workload of a job file with flags on top, or the workload itself; `defaults` fill gaps.

    Raises WorkloadError for a wrong value, and InputError for flags beside a `Workload`.
    """
    if isinstance(job, Workload):
        if flags:
            raise InputError(
                f"{next(iter(flags))}: a Workload takes no flags beside it: put the value into the Workload"
            )
        return job
    return load_workload(None if job is None else Path(job), flags, defaults)
