"""Where a job is submitted to: Slurm, as it is now, or this machine."""

import os
from dataclasses import dataclass

from ..cluster_profiles.catalog import load_profile
from ..cluster_profiles.profile import ClusterProfile
from ..errors import InputError, ProfileError, SlurmUnavailable
from ..estimator.job.placement import Placement, place
from ..estimator.job.workload import Workload
from ..launcher.slurm import client as slurm
from ..launcher.slurm.cluster import Cluster
from ..launcher.slurm.discovery import discover
from .options import say


@dataclass(frozen=True)
class Destination:
    """`executor` is slurm or local; `cluster` is None where no Slurm is looked at, `profile` where nothing is known."""

    executor: str
    cluster: Cluster | None
    profile: ClusterProfile | None
    placement: Placement

    @property
    def on_slurm(self) -> bool:
        return self.executor == "slurm"

    @property
    def default_walltime_s(self) -> float | None:
        """What limits a job that asks for no walltime, as far as that is known."""
        named = self.placement.partition
        return self.cluster.default_walltime_s(named.name if named else None) if self.cluster else None

    @property
    def standing_options(self) -> dict[str, str]:
        """Options that the user keeps for every job of Slurm."""
        return slurm.read_standing_options(os.environ) if self.on_slurm else {}

    @property
    def cluster_name(self) -> str | None:
        return self.cluster.settings.cluster if self.cluster else None


def destination(asked: str | None, parallel: int | None, workload: Workload, *, dry_run: bool) -> Destination:
    """The executor that is asked for, else Slurm where it is, and where `workload` lands on it.

    Raises InputError, WorkloadError, ProfileError and SlurmUnavailable.
    """
    executor = _executor(asked, parallel, workload, dry_run=dry_run)
    cluster = _cluster(executor, dry_run=dry_run)
    profile = _profile(workload, cluster)
    placement = place(workload, profile)
    if executor == "local" and placement.nodes > 1:
        raise InputError(f"{placement.nodes} nodes: this machine is one; give --nodes 1, or --executor slurm")
    return Destination(executor, cluster, profile, placement)


def _executor(asked: str | None, parallel: int | None, workload: Workload, *, dry_run: bool) -> str:
    if asked == "slurm" and not slurm.is_available() and not dry_run:
        raise SlurmUnavailable(
            "sbatch is not found here: is this a machine of the cluster? --executor local runs here"
        )
    executor = asked or ("slurm" if slurm.is_available() else "local")
    if executor == "local" and parallel:
        raise InputError(
            "--parallel: on this machine the runs of a sweep wait for its GPUs, and for nothing else: leave it out"
        )
    named = workload.cluster
    if executor == "local" and named.partition and not named.profile:
        raise InputError(
            f"partition {named.partition!r}: partitions are Slurm's, and this machine runs the job: leave it out"
        )
    return executor


def _cluster(executor: str, *, dry_run: bool) -> Cluster | None:
    """Slurm's, to be looked at; what is only shown can do without."""
    if executor != "slurm" or not slurm.is_available():
        return None
    try:
        return slurm.read_cluster()
    except SlurmUnavailable as error:
        if not dry_run:
            raise SlurmUnavailable(f"{error}; --executor local runs it on this machine") from None
        say(f"{error}: the job is held against no cluster")
        return None


def _profile(workload: Workload, cluster: Cluster | None) -> ClusterProfile | None:
    """The one that is named, else the cluster as it is."""
    if workload.cluster.profile:
        return load_profile(workload.cluster.profile)
    try:
        return discover(cluster).profile if cluster else None
    except ProfileError:  # no GPU anywhere: sbatch has the word
        return None
