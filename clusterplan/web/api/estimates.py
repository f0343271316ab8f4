"""Estimates for requests: from flags and a job as JSON, and never from a file that these name."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...api.estimate import Comparison, JobEstimate, estimate
from ...api.job import with_site_defaults
from ...cluster_profiles.catalog import profile_paths
from ...cluster_profiles.units import join_names
from ...errors import InputError
from ...estimator.estimate.shapes import Keep
from ...estimator.history.runs import History
from ...estimator.job.job_file import load_workload
from ...estimator.job.workload import Workload, list_flags
from ...estimator.measurements.measurement import Measurement

_LISTS = ("gpus", "precision")
_BOUNDS = ("deadline", "budget", "keep")
_MOST_SHAPES = 64
FLAGS = tuple(flag.removeprefix("--").replace("-", "_") for flag, _, _ in list_flags())
ESTIMATE_KEYS = (*FLAGS, *_BOUNDS)


def parse_job(body: bytes) -> dict[str, Any]:
    """Return the tables of a job, as a job file has them, from JSON.  Raises InputError."""
    try:
        job = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is no JSON: {error}") from None
    if not isinstance(job, dict):
        raise InputError('the body must be a job as JSON: {"data": {"samples": 1000}, "training": {...}}')
    return job


def read_shapes(flags: Mapping[str, str], job: Mapping[str, Any]) -> tuple[Workload, list[str], list[str]]:
    """Return the workload of a job with flags on top, and the lists of its GPUs and precisions.  Raises WorkloadError."""
    flags = {name.replace("-", "_"): value for name, value in flags.items()}
    values = {name: value for name, value in flags.items() if name not in (*_BOUNDS, *_LISTS)}
    gpus, precisions = (_split(name, flags.get(name)) for name in _LISTS)
    if max(len(gpus), 1) * max(len(precisions), 1) > _MOST_SHAPES:
        raise InputError(
            f"gpus, precision: {len(gpus) * max(len(precisions), 1):,} shapes are too many; {_MOST_SHAPES} are allowed"
        )
    _check_profile(values.get("profile"))
    cluster = job.get("cluster")
    _check_profile(cluster.get("profile") if isinstance(cluster, Mapping) else None)
    first = {name: listed[0] for name, listed in (("gpus", gpus), ("precision", precisions)) if listed}
    workload = load_workload(None, values, first, tables=job)
    _check_profile(workload.cluster.profile)
    return with_site_defaults(workload, has_cluster=False), gpus, precisions


def read_measurements(history: History, model: str | None) -> list[Measurement]:
    """Return the measurements that inform a model's estimate, as the history has them."""
    return (
        [] if model is None else [*history.measurements(model), *history.measurements_of_other_models(model)]
    )


def estimate_shapes(
    workload: Workload,
    gpus: Sequence[str],
    precisions: Sequence[str],
    bounds: Mapping[str, str],
    measured: Sequence[Measurement],
) -> JobEstimate | Comparison:
    """Return the estimate of each shape; one shape alone is a single estimate.  Raises WorkloadError and NotEnoughHistory."""
    answers = estimate(
        workload,
        measurements=measured,
        gpus=list(gpus) or [str(workload.training.gpus)],
        precision=list(precisions) or [workload.training.precision],
        keep=bounds.get("keep", Keep.PER_GPU_BATCH),
        deadline=bounds.get("deadline"),
        budget=bounds.get("budget"),
    )
    return answers if len(answers) > 1 else answers[0]


def _check_profile(name: object) -> None:
    """Raise InputError for a profile that is not one of the named ones: a path would have us read that file."""
    if name is None:
        return
    names = sorted(profile_paths())
    if name not in names:
        raise InputError(f"profile: {str(name)[:80]!r} is not known here: give {join_names(names)}")


def _split(name: str, text: str | None) -> list[str]:
    items = [item.strip() for item in text.split(",")] if text else []
    if not all(items):
        raise InputError(f"{name}: {text!r:.80} has an empty place; write A,B,C")
    return list(dict.fromkeys(items))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
