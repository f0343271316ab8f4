"""The estimate of a workload on a cluster: steps, wall-clock, memory, GPU-hours, cost and advice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ...cluster_profiles.gpu import match_gpus, may_be_same_gpu, nearest_gpus
from ...cluster_profiles.profile import ClusterProfile
from ...errors import WorkloadError
from ..cost.energy import Energy, estimate_energy
from ..job.placement import Placement, place
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..memory.peak import Memory, estimate_memory
from ..ranges import Range
from ..step_time.source import StepTime
from ..step_time.throughput import estimate_step_time, has_stated_rate
from .advice import advise
from .case import Advice, Case
from .steps import StepCount, count_steps
from .walltime import WallClock, estimate_wall_clock


@dataclass(frozen=True)
class Cost:
    """The cost of the GPU-hours, at the rates of the day `rates_of`."""

    amount: Range
    currency: str
    rates_of: str


@dataclass(frozen=True)
class Estimate:
    """The answer for one workload on one cluster.

    `clock`, `samples_per_s`, `gpu_hours` and `cost` follow from the step time: they are None, or have no total, while it
    is unknown.  `energy` is that of the GPUs, None if nothing tells it.
    """

    workload: Workload
    placement: Placement
    steps: StepCount
    step_time: StepTime
    clock: WallClock
    memory: Memory
    samples_per_s: Range | None
    gpu_hours: Range | None
    cost: Cost | None
    warnings: tuple[Advice, ...]
    energy: Energy | None = None


def estimate_workload(
    workload: Workload,
    profile: ClusterProfile | None = None,
    measurements: Sequence[Measurement] = (),
    now: datetime | None = None,
) -> Estimate:
    """Return the estimate of `workload`; a pure function of its arguments.

    Measurements of the workload's model inform it; with `now`, the answer says how old they are.  Raises WorkloadError
    if the numbers contradict each other or the profile.

    >>> job = Workload.of(samples=1_000_000, batch_size=32, gpus=8, samples_per_s=44.3)
    >>> answer = estimate_workload(job)
    >>> answer.steps.total, round(answer.clock.parts["training"].seconds.p50 / 3600, 2)
    (3907, 6.27)
    """
    placement = place(workload, profile)
    measurements = _with_gpu_named(measurements, placement)
    steps = count_steps(workload)
    step_time = estimate_step_time(workload, placement, measurements, now)
    failures = profile.node_failures_per_1000_days if profile else None
    runs = [m for m in measurements if m.model == workload.model]
    if not has_stated_rate(workload) and all(m.gpu != placement.gpu_type for m in runs):
        _check_gpu(placement)
    clock = estimate_wall_clock(workload, placement, steps, step_time, failures, runs)
    memory = estimate_memory(workload, placement, measurements)
    gpu_hours = clock.total.scaled(placement.gpus / 3600) if clock.total else None
    step = step_time.seconds
    return Estimate(
        workload=workload,
        placement=placement,
        steps=steps,
        step_time=step_time,
        clock=clock,
        memory=memory,
        samples_per_s=step.inverted(workload.training.step_samples) if step else None,
        gpu_hours=gpu_hours,
        cost=_cost(gpu_hours, placement, profile),
        warnings=advise(
            Case(
                workload,
                placement,
                steps,
                step_time,
                clock,
                memory,
                profile is not None,
                measurements,
            )
        ),
        energy=estimate_energy(
            steps.samples, workload, placement, measurements, gpu_hours, profile.rates if profile else None
        ),
    )


def _with_gpu_named(measurements: Sequence[Measurement], placement: Placement) -> Sequence[Measurement]:
    """`measurements` with the job's spelling of a GPU type that the catalogue lacks: NVML and Slurm spell it differently."""
    stated = placement.gpu_type
    if stated is None or match_gpus(stated):
        return measurements
    return [replace(m, gpu=stated) if m.gpu and may_be_same_gpu(m.gpu, stated) else m for m in measurements]


def _check_gpu(placement: Placement) -> None:
    """Raise WorkloadError if nothing but the job names the GPU type, and the catalogue lacks it or has several of it."""
    partition = placement.partition
    if placement.gpu_type is None or placement.gpu or (partition and (partition.gpu or partition.gres)):
        return
    several = ", ".join(gpu.key for gpu in placement.possible_gpus)
    fault = "is ambiguous" if several else "is not in the catalogue"
    types = f"one of {several}" if several else " or ".join(nearest_gpus(placement.gpu_type))
    rate = "a rate measured on it, such as --samples-per-s; `clusterplan history add` keeps rates"
    raise WorkloadError(f"GPU {placement.gpu_type!r} {fault}: give {f'{types}, or ' if types else ''}{rate}")


def _cost(gpu_hours: Range | None, placement: Placement, profile: ClusterProfile | None) -> Cost | None:
    rates = profile.rates if profile else None
    if rates is None or gpu_hours is None or placement.partition is None:
        return None
    rate = rates.gpu_hour(placement.partition)
    if rate is None:
        return None
    return Cost(gpu_hours.scaled(rate), rates.currency, rates.date.isoformat())
