"""The job that a use case is given: a job file, a workload, or flags by their names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cluster_profiles.configuration import read_configuration
from ..errors import InputError
from ..estimator.job.job_file import load_workload
from ..estimator.job.workload import Workload

Job = str | os.PathLike[str] | Workload


def read_workload(
    job: Job | None,
    flags: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    run_tables: Mapping[str, Any] | None = None,
) -> Workload:
    """Return the workload of a job file with flags and `run_tables` on top, or the workload itself; `defaults` fill gaps.

    Raises WorkloadError for a wrong value, and InputError for flags beside a `Workload`.
    """
    if isinstance(job, Workload):
        if flags:
            raise InputError(
                f"{next(iter(flags))}: a Workload takes no flags beside it: put the value into the Workload"
            )
        return job
    check_job_type(job)
    return load_workload(None if job is None else Path(job), flags, defaults, run_tables=run_tables)


def check_job_type(job: object) -> None:
    """Raise InputError if a value is neither a path nor a `Workload`; None is no job."""
    if job is not None and not isinstance(job, str | os.PathLike | Workload):
        raise InputError(f"{job!r} is neither a job file nor a Workload: give a path")


def with_site_defaults(workload: Workload, *, has_cluster: bool) -> Workload:
    """Return the workload with the profile and the partition of the settings, where it names none.

    `has_cluster` says that partitions are known without a profile.  A job that asks for a GPU type chooses its own
    partition.  Raises InputError for a file of settings that cannot be used.
    """
    cluster, settings = workload.cluster, read_configuration(os.environ)
    profile = cluster.profile or settings.text("profile")
    partition = cluster.partition
    if not (partition or cluster.profile or cluster.gpu) and (profile or has_cluster):
        partition = settings.text("partition")
    if (profile, partition) == (cluster.profile, cluster.partition):
        return workload
    named = cluster.model_copy(update={"profile": profile, "partition": partition})
    return workload.model_copy(update={"cluster": named})
