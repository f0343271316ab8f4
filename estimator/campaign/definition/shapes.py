"""The shapes that a job may have on a pool, each with its estimate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ....cluster_profiles.profile import ClusterProfile
from ....cluster_profiles.units import join_names, plural
from ....errors import EstimateError, WorkloadError
from ...estimate.advice_on_machine import why_unknown
from ...estimate.estimate import Estimate, estimate_workload
from ...estimate.shapes import Keep, vary_shapes
from ...job.workload import Workload
from ...measurements.measurement import Measurement
from ...memory.peak import Fit
from ...step_time.source import SourceKind
from ..campaign import Mode, Pool

REQUEUE_S = 120.0  # Slurm holds a requeued job for so long: the credential's life, cred_expire of slurm.conf
_INPUT_BOUND_SHARE = 0.1  # of a step that waits for input: more GPUs would wait too


@dataclass(frozen=True)
class JobShape:
    """One shape of a job: the mode that is planned, and the estimate that it is made of."""

    mode: Mode
    estimate: Estimate


class UnknownSpeed(EstimateError):  # noqa: N818  the name says what is so
    """Nobody knows how fast a job is; the text says why, and how to measure it."""

    exit_code = 3


class _Unfit(Exception):  # noqa: N818  it never leaves this module
    """Why a shape is left out."""


def estimate_shapes(
    workload: Workload,
    counts: Sequence[int],
    pool: Pool,
    profile: ClusterProfile | None,
    measurements: Sequence[Measurement],
    now: datetime,
    keep: Keep,
    *,
    use_priors: bool = False,
) -> list[JobShape]:
    """Return the shapes of a job on a pool, those with the fewest GPUs first; `counts` are the GPUs that are stated, if any.

    P50 and P90 are those of the wall-clock, with the wait for each requeue at a time limit.  Left out are shapes that the
    batch does not divide over, that do not fit into memory or the pool, that wait for input and are wider than the job
    file's, and that are beaten by another with no more GPUs.  A prior counts as no speed unless `use_priors`; it is then
    planned at its P90.  Raises UnknownSpeed and WorkloadError; the second for a shape that is stated and not possible, or
    if none is left.
    """
    shapes, faults = list[JobShape](), list[str]()
    for count in counts or _usual_counts(workload, pool):
        try:
            workload_there = vary_shapes(workload, [count], [workload.training.precision], keep)[0]
            estimate = estimate_workload(workload_there, profile, measurements, now)
            shapes.append(JobShape(_mode(workload, estimate, pool, use_priors=use_priors), estimate))
        except (WorkloadError, _Unfit) as error:
            if counts and isinstance(error, WorkloadError):
                raise WorkloadError(f"{count} GPUs: {error}") from None
            faults.append(f"{count} GPUs: {error}")
    if not shapes:
        raise WorkloadError(f"none of its shapes fits {pool.name}: {join_names(faults, 3, '; ')}")
    return _undominated(shapes)


def _usual_counts(workload: Workload, pool: Pool) -> list[int]:
    """Return powers of two within a node, then whole nodes; and what the job file says."""
    per_node = max(pool.nodes)
    within = [1 << i for i in range(per_node.bit_length()) if per_node % (1 << i) == 0]
    nodes = sorted({n for i in range(11) for n in (1 << i, 3 << i) if n <= len(pool.nodes)})
    counts = {*within, *(per_node * n for n in nodes), workload.training.gpus}
    step = workload.training.model_parallel
    return sorted(count for count in counts if count <= pool.gpus and count % step == 0) or [
        workload.training.gpus
    ]


def _mode(workload: Workload, estimate: Estimate, pool: Pool, *, use_priors: bool) -> Mode:
    """Return the mode of an estimate.  Raises _Unfit with the reason why it is left out, and UnknownSpeed."""
    step, placement = estimate.step_time, estimate.placement
    if step.seconds is None:
        raise UnknownSpeed(why_unknown(workload, step.source))
    is_prior = step.source.kind is SourceKind.PRIOR
    if is_prior and not use_priors:
        raise UnknownSpeed(f"only a guess from its size is known ({step.source.origin})")
    nodes, gpus = placement.nodes, placement.gpus
    if gpus % nodes:
        raise _Unfit(f"they do not divide over {nodes} nodes")
    fitting = sum(free >= gpus // nodes for free in pool.nodes)
    if fitting < nodes:
        raise _Unfit(f"they are more than {pool.name} has: {pool.gpus} on {plural(len(pool.nodes), 'node')}")
    if estimate.memory.fits is Fit.NO:
        raise _Unfit("the job does not fit into their memory")
    waits = step.parts is not None and step.parts.input_s > _INPUT_BOUND_SHARE * step.seconds.p50
    if waits and gpus > workload.training.gpus:
        raise _Unfit("its steps wait for input, and more GPUs would too")
    total = estimate.clock.total
    if total is None:
        raise _Unfit("no job under the time limit reaches its next checkpoint")
    segments = estimate.clock.segments or 1
    waits_s = (segments - 1) * REQUEUE_S
    p50_s = total.p90 if is_prior else total.p50
    return Mode(pool.name, nodes, gpus, p50_s + waits_s, total.p90 + waits_s, segments)


def _undominated(shapes: Sequence[JobShape]) -> list[JobShape]:
    """Return the shapes that are faster than all with fewer GPUs."""
    return list(_faster(sorted(shapes, key=lambda shape: (shape.mode.gpus, shape.mode.p50_s))))


def _faster(shapes: Sequence[JobShape]) -> Iterator[JobShape]:
    best_s = float("inf")
    for shape in shapes:
        if shape.mode.p50_s < best_s:
            best_s = shape.mode.p50_s
            yield shape
