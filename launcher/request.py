"""What to ask Slurm for: an estimate in the words of sbatch."""

from dataclasses import dataclass

from ..cluster_profiles.units import slurm_time
from ..estimator.estimate import Estimate


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
    kind = f"{placement.partition.gres}:" if placement.partition and placement.partition.gres else ""
    if placement.gpus % placement.nodes:
        options.append(f"--gpus={kind}{placement.gpus}")
    else:
        options.append(f"--gpus-per-node={kind}{placement.gpus_per_node}")
    time = slurm_time(clock.request_s) if clock.request_s else None
    if time:
        options.append(f"--time={time}")
    return SlurmRequest(tuple(options), time, clock.segments)
