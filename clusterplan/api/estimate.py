"""Estimate a job from Python, as `clusterplan estimate` does."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, overload

from ..cluster_profiles.catalog import load_profile
from ..cluster_profiles.local_time import parse_deadline_s
from ..cluster_profiles.profile import ClusterProfile
from ..cluster_profiles.units import format_duration
from ..errors import WorkloadError
from ..estimator.estimate.estimate import Estimate, estimate_workload
from ..estimator.estimate.shapes import (
    Keep,
    Verdicts,
    choose_best,
    find_knee,
    judge_bounds,
    parse_budget,
    parse_keep,
    vary_shapes,
)
from ..estimator.job.workload import Workload
from ..estimator.measurements.measurement import Measurement
from ..estimator.queue.shape_start import ShapeStart
from ..render.estimate.as_dict import estimate_as_dict, estimates_as_dict
from ..render.estimate.text import Bound, write_estimate, write_estimates
from ..render.layout import Page
from .job import Job, read_workload, with_site_defaults
from .measurements import ProgressCallback, find_measurements
from .result import Result, Results

T = TypeVar("T")
Several = list[Any] | tuple[Any, ...] | range
_SEVERAL = (list, tuple, range)
_NO_BOUNDS = Verdicts(None, None)


@dataclass(frozen=True, repr=False)
class JobEstimate(Result, Estimate):
    """The estimate of one shape of a job: the fields of `Estimate`, and whether it meets the deadline and the budget.

    `steps` counts the optimizer steps.  `step_time.seconds` is the time of one, and `clock.total` the wall-clock of the
    run in seconds, with its `clock.parts`; `samples_per_s` = global batch / step time, and `gpu_hours` = GPUs x
    wall-clock / 3600.  Each of these is a range with `p10`, `p50` and `p90`, or None while no throughput is known.
    `placement` is the shape, `memory` the peak per GPU, and `warnings` the advice.  `verdicts` has `yes` for a bound
    that is met at P90, `maybe` at P50 only, otherwise `no`.  `start` is when it would start and end, if the queue was asked.
    """

    verdicts: Verdicts = _NO_BOUNDS
    bounds: tuple[Bound, ...] = ()
    remarks: tuple[str, ...] = ()
    start: ShapeStart | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan estimate --json`; docs/reference/json.md describes the keys."""
        return estimate_as_dict(self, self.verdicts, self.start)

    def write(self, page: Page) -> None:
        """Write the answer, the parts of the wall-clock, and the advice."""
        write_estimate(page, self, self.verdicts, self.bounds, self.start)

    def explain(self) -> list[str]:
        """Return the arithmetic with the numbers put in, one line per equation."""
        from ..render.estimate.explain import explain  # noqa: PLC0415  the equations, where nobody asks for them

        return list(explain(self))


@dataclass(frozen=True, repr=False)
class Comparison(Results[JobEstimate]):
    """Estimates of several shapes of one job, side by side: a sequence of `JobEstimate`."""

    keep: Keep

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the remarks, which are those on every shape."""
        return self[0].remarks

    @property
    def best(self) -> int | None:
        """Return the index of the best shape that meets the deadline and the budget at P90; None if none does."""
        return choose_best(self, [e.verdicts for e in self])

    @property
    def knee(self) -> int | None:
        """Return the index of the largest shape that keeps 75 % of the smallest one's efficiency; None if all do."""
        return find_knee(self)

    @property
    def starts(self) -> tuple[ShapeStart, ...]:
        """Return when each shape would start and end; none if the queue was not asked."""
        return tuple(e.start for e in self if e.start)

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan estimate --gpus A,B --json`: `shapes` of single estimates, compared."""
        return estimates_as_dict(self, self.keep, [e.verdicts for e in self], self.best, self.starts)

    def write(self, page: Page) -> None:
        """Write one row per shape, the best shape, the sources of the numbers, and the advice."""
        verdicts = [e.verdicts for e in self]
        write_estimates(page, self, self.keep, verdicts, self[0].bounds, self.best, self.starts)


@overload
def estimate(
    job: Job | None = None,
    profile: str | os.PathLike[str] | ClusterProfile | None = None,
    measurements: Sequence[Measurement] | None = None,
    *,
    gpus: Several,
    precision: str | Several | None = None,
    **flags: Any,
) -> Comparison: ...


@overload
def estimate(
    job: Job | None = None,
    profile: str | os.PathLike[str] | ClusterProfile | None = None,
    measurements: Sequence[Measurement] | None = None,
    *,
    gpus: int | str | None = None,
    precision: Several,
    **flags: Any,
) -> Comparison: ...


@overload
def estimate(
    job: Job | None = None,
    profile: str | os.PathLike[str] | ClusterProfile | None = None,
    measurements: Sequence[Measurement] | None = None,
    *,
    gpus: int | str | None = None,
    precision: str | None = None,
    **flags: Any,
) -> JobEstimate: ...


def estimate(
    job: Job | None = None,
    profile: str | os.PathLike[str] | ClusterProfile | None = None,
    measurements: Sequence[Measurement] | None = None,
    *,
    gpus: int | str | Several | None = None,
    precision: str | Several | None = None,
    keep: Keep | str = Keep.PER_GPU_BATCH,
    deadline: str | None = None,
    budget: str | None = None,
    queue: bool = False,
    now: datetime | None = None,
    progress: ProgressCallback | None = None,
    **flags: Any,
) -> JobEstimate | Comparison:
    """Estimate the steps, the wall-clock, the GPU-hours and the Slurm request of a job, before it is booked.

    `job` is the path of a job file or a `Workload`; without it the flags of `clusterplan estimate` are enough, by
    their names (`batch_size=32` for `--batch-size 32`).  Flags go on top of a job file.  `profile` is the name or path
    of a cluster profile, or a `Profile`; by default the one that the job names.  `measurements` inform the speed: None
    reads those of the job's model, and of others on a cluster, from the history, without ever asking Slurm; a sequence,
    also an empty one, is taken as it is.

    One shape gives a `JobEstimate`.  A list of `gpus` or of `precision` gives a `Comparison`, with one estimate per
    combination; `keep` says whether each GPU keeps its batch (`"per-gpu-batch"`) or all of them the global batch
    (`"global-batch"`).  `deadline` is a duration such as "2d" or a date, `budget` such as "500 GPU-hours" or "1200
    EUR": the estimates say whether they meet them.  `now` is by default the present; the age of measurements and a
    deadline's date count from it.  With `queue`, Slurm is asked when each shape would start, and a deadline counts that
    wait.  `progress` is called with the number of the run that is read from disk and the number of runs.

    Quantities that depend on speed are None while no throughput is known.  Raises WorkloadError for a wrong value,
    ProfileError for a wrong profile, and NotEnoughHistory for a deadline or budget while no throughput is known.

    Examples:
        >>> answer = estimate(samples=1_000_000, batch_size=32, gpus=8, samples_per_s=44.3)
        >>> answer.steps.total, round(answer.clock.total.p50 / 3600, 1)
        (3907, 6.6)
        >>> answers = estimate(samples=1_000_000, batch_size=32, gpus=[4, 8], samples_per_s_per_gpu=5.5, deadline="12h")
        >>> [e.verdicts.deadline.value for e in answers], answers.best
        (['no', 'yes'], 1)
    """
    now = now or datetime.now(UTC)
    counts, precisions = _as_list(gpus), _as_list(precision)
    if isinstance(profile, os.PathLike):
        profile = os.fspath(profile)
    named = {"profile": profile} if isinstance(profile, str) and not isinstance(job, Workload) else {}
    first = {name: values[0] for name, values in (("gpus", counts), ("precision", precisions)) if values}
    base = read_workload(job, flags | named, first)
    if profile is None:
        base = with_site_defaults(base, has_cluster=False)
    local_now = now.astimezone().replace(tzinfo=None)  # an offset would hold today's only
    deadline_s = _parse("--deadline", deadline, lambda text: parse_deadline_s(text, local_now))
    limit = _parse("--budget", budget, parse_budget)
    kept = _parse("--keep", keep, parse_keep) or Keep.PER_GPU_BATCH
    cluster = _load_profile(profile, base)
    if queue:
        from .queue import shape_starts  # noqa: PLC0415  questions to Slurm, where nobody asks them

        cluster = cluster or shape_starts.read_slurm_profile()
    shapes = vary_shapes(base, counts or [base.training.gpus], precisions or [base.training.precision], kept)
    if "nodes" in flags:
        shapes = [workload.model_copy(update={"cluster": base.cluster}) for workload in shapes]
    remarks: tuple[str, ...] = ()
    if measurements is None:
        measurements, remarks = find_measurements(base.model, progress)
    bounds = _bounds(deadline, deadline_s, budget)
    estimates = tuple(
        JobEstimate(
            **vars(plain), verdicts=judge_bounds(plain, deadline_s, limit), bounds=bounds, remarks=remarks
        )
        for plain in (estimate_workload(shape, cluster, measurements, now) for shape in dict.fromkeys(shapes))
    )
    if queue:
        estimates = shape_starts.with_starts(estimates, deadline_s)
    several = isinstance(gpus, _SEVERAL) or isinstance(precision, _SEVERAL)
    return Comparison(estimates, kept) if several else estimates[0]


def _as_list(values: object) -> list[Any]:
    return [] if values is None else list(values) if isinstance(values, _SEVERAL) else [values]


def _load_profile(profile: str | ClusterProfile | None, workload: Workload) -> ClusterProfile | None:
    if isinstance(profile, ClusterProfile):
        return profile
    name = profile or workload.cluster.profile
    return load_profile(name) if name else None


def _parse(flag: str, text: str | None, parse: Callable[[str], T]) -> T | None:
    if text is not None and not isinstance(text, str):
        raise WorkloadError(f"{flag}: {text!r} is not text; give the words of the command line, in quotes")
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise WorkloadError(f"{flag}: {text!r} {error}") from None


def _bounds(deadline: str | None, deadline_s: float | None, budget: str | None) -> tuple[Bound, ...]:
    bounds = []
    if deadline is not None and deadline_s is not None:
        duration = format_duration(deadline_s)
        bounds.append(Bound("deadline", deadline if deadline == duration else f"{deadline} (in {duration})"))
    if budget is not None:
        bounds.append(Bound("budget", budget))
    return tuple(bounds)
