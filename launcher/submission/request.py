"""What to ask Slurm for: an estimate in the words of sbatch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ...cluster_profiles.units import MINUTE_S, slurm_time
from ...errors import WorkloadError
from ...estimator.estimate.estimate import Estimate
from ...estimator.job.placement import Placement, is_uneven
from ...estimator.job.workload import Workload

_SAVE_S = 90.0  # warned so long before the limit, where no checkpoint has been timed
_LONGEST_SHARE = 0.25  # of the walltime, at most, for that


@dataclass(frozen=True)
class SlurmRequest:
    """Options of one job, and how many such jobs in a row the run takes.

    `time` is Slurm's spelling of P95 of the wall-clock plus a grace period, rounded up and never above the
    partition's limit; None while time is unknown.
    """

    options: tuple[str, ...]
    time: str | None
    segments: int | None


def slurm_request(estimate: Estimate) -> SlurmRequest:
    """The request that `estimate` calls for."""
    placement, clock = estimate.placement, estimate.clock
    options = []
    if placement.partition:
        options.append(f"--partition={placement.partition.name}")
    options.append(f"--nodes={placement.nodes}")
    if placement.gpus % placement.nodes:
        options.append(f"--gpus={_kind(placement)}{placement.gpus}")
    else:
        options.append(f"--gpus-per-node={_kind(placement)}{placement.gpus_per_node}")
    time = slurm_time(clock.request_s) if clock.request_s else None
    if time:
        options.append(f"--time={time}")
    return SlurmRequest(tuple(options), time, clock.segments)


@dataclass(frozen=True)
class JobRequest:
    """One job as it is submitted; None is left to the partition's default.  `options` are further ones of sbatch."""

    name: str
    nodes: int
    tasks_per_node: int
    gpus_per_node: str
    partition: str | None
    time: str | None
    signal_delay_s: int
    time_min: str | None = None
    requeue: bool = True
    parallel: int | None = None
    srun: tuple[str, ...] = ()
    options: tuple[tuple[str, str | int | bool], ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From JSON, in which tuples are lists."""
        options = tuple((str(name), value) for name, value in values["options"])
        return cls(**{**values, "srun": tuple(values["srun"]), "options": options})


def gpus_per_node(workload: Workload, placement: Placement) -> str:
    """As `--gpus-per-node` spells it.  Raises WorkloadError where the nodes would not be alike."""
    if fault := is_uneven(workload, placement):
        raise WorkloadError(fault)
    return f"{_kind(placement)}{placement.gpus_per_node}"


def signal_delay_s(save_s: float | None, walltime_s: float | None) -> int:
    """How long before its limit a job is warned: twice a checkpoint's time and 30 s, at most a quarter of the walltime.

    Slurm may send the warning up to 60 s early.

    >>> signal_delay_s(45, 86400), signal_delay_s(None, 86400), signal_delay_s(None, 60)
    (120, 90, 15)
    """
    wanted = _SAVE_S if save_s is None else 2 * save_s + 30
    return math.ceil(wanted if walltime_s is None else min(wanted, walltime_s * _LONGEST_SHARE))


def whole_minutes(seconds: float) -> int:
    """Slurm's limits are whole minutes; up.

    >>> whole_minutes(61)
    2
    """
    return math.ceil(seconds / MINUTE_S)


def _kind(placement: Placement) -> str:
    return f"{placement.partition.gres}:" if placement.partition and placement.partition.gres else ""
