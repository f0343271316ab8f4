"""Where a job is submitted to: Slurm, as it is now, or this machine."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...cluster_profiles.catalog import load_profile
from ...cluster_profiles.configuration import Setting, read_configuration
from ...cluster_profiles.profile import ClusterProfile
from ...cluster_profiles.units import plural
from ...errors import InputError, ProfileError, SlurmUnavailable
from ...estimator.job.placement import Placement, place
from ...estimator.job.workload import Workload
from ..slurm import client as slurm
from ..slurm.cluster import Cluster
from ..slurm.cluster_reader import read_cluster
from ..slurm.discovery import build_profile
from .problem import Problem, refusal, warning

if TYPE_CHECKING:
    from ..sampler.local_gpus import LocalGpus


@dataclass(frozen=True)
class Destination:
    """An executor, `slurm` or `local`, and where a job lands on it.

    `cluster` is None where no Slurm was asked, `profile` where no machine is described.  `standing_options` are those
    that the site or the user keeps for every job on Slurm, and `problems` what went wrong while it was looked at.
    `local_gpus` are the UUIDs of the GPUs of this machine that a run may wait for; None on Slurm.  `limit_holder` is the
    QOS or account whose limit of time is shorter than the partition's, None if none is.
    """

    executor: str
    placement: Placement
    cluster: Cluster | None = None
    profile: ClusterProfile | None = None
    standing_options: Mapping[str, Setting] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    local_gpus: tuple[str, ...] | None = None
    limit_holder: str | None = None

    @property
    def on_slurm(self) -> bool:
        """Return whether Slurm runs the job."""
        return self.executor == "slurm"

    @property
    def default_walltime_s(self) -> float | None:
        """Return the limit of a job that asks for no walltime, in seconds; None if unknown."""
        return self.cluster.default_walltime_s(self.placement.partition_name) if self.cluster else None

    @property
    def default_partition(self) -> str | None:
        """Return the partition that Slurm gives to jobs that name none, "" if there is none; None if no Slurm was asked."""
        default = self.cluster.partition(None) if self.cluster else None
        return default.name if default else "" if self.cluster else None

    @property
    def leaves_partition_open(self) -> bool:
        """Return whether nobody names a partition, and the one that is placed on is only the most patient of several.

        A site without a default partition may choose one by the QOS or a constraint (NERSC; Parsl/libsubmit#66).
        """
        several = self.profile is not None and len(self.profile.partitions) > 1
        return self.default_partition == "" and self.placement.by_default and several

    @property
    def cluster_name(self) -> str | None:
        """Return the name of the Slurm cluster."""
        return self.cluster.settings.cluster if self.cluster else None


def choose_destination(
    executor: str,
    workload: Workload,
    environment: Mapping[str, str],
    *,
    needs_gpus: bool = True,
    dry_run: bool = False,
) -> Destination:
    """Return where `workload` lands on `executor`.

    On this machine a job that `needs_gpus` is refused where there are none.  A dry run does without a Slurm that
    answers.  Raises InputError, WorkloadError, ProfileError and SlurmUnavailable.
    """
    on_slurm = executor == "slurm"
    if not on_slurm:
        return _this_machine(workload, environment, needs_gpus=needs_gpus)
    cluster, problems = _read_cluster(dry_run=dry_run) if slurm.is_available() else (None, ())
    standing = find_standing_options(environment)
    options = {name: str(option.value) for name, option in standing.items()} | dict(workload.slurm)
    profile = _choose_profile(workload, cluster)
    holders: dict[str, str] = {}
    if profile and cluster and cluster.accounting:
        profile, holders = _with_account_limits(profile, cluster, options)
    placement = place(workload, profile)
    holder = holders.get(placement.partition_name or "")
    return Destination(executor, placement, cluster, profile, standing, problems, limit_holder=holder)


def _with_account_limits(
    profile: ClusterProfile, cluster: Cluster, options: Mapping[str, object]
) -> tuple[ClusterProfile, dict[str, str]]:
    """The profile, in which no partition has a longer limit than the QOS or the account, and whose limit each is."""
    partitions, holders = [], dict[str, str]()
    for partition in profile.partitions:
        limits = cluster.wall_limit(partition.name, options)
        if limits and limits.wall_s and limits.wall_s < (partition.time_limit or math.inf):
            partition = partition.model_copy(update={"time_limit": limits.wall_s})  # noqa: PLW2901  the same, cut
            holders[partition.name] = limits.holder
        partitions.append(partition)
    return profile.model_copy(update={"partitions": tuple(partitions)}), holders


def _this_machine(workload: Workload, environment: Mapping[str, str], *, needs_gpus: bool) -> Destination:
    from ..sampler.local_gpus import find_local_gpus  # noqa: PLC0415  pynvml, for a run on this machine only

    profile = _choose_profile(workload, None)
    wanted, here = workload.training.gpus, find_local_gpus(environment)
    if here.uuids and wanted > len(here.uuids):
        raise InputError(f"--gpus: {wanted} wanted, {len(here.uuids)} here: this machine has no more GPUs")
    if profile is None and workload.cluster.nodes is None:  # all that it has are on one node
        workload = workload.model_copy(update={"cluster": workload.cluster.model_copy(update={"nodes": 1})})
    placement = place(workload, profile)
    if placement.nodes > 1:
        raise InputError(f"{placement.nodes} nodes: this machine is one; give --nodes 1, or --executor slurm")
    problems = tuple(_missing_gpus(wanted, here, needs_gpus=needs_gpus))
    return Destination("local", placement, profile=profile, problems=problems, local_gpus=here.uuids)


def _missing_gpus(wanted: int, here: "LocalGpus", *, needs_gpus: bool) -> Iterator[Problem]:
    if here.fault and needs_gpus:
        yield refusal(
            "gpus-missing",
            f"{plural(wanted, 'GPU')} wanted, none here: {here.fault}; the run would be on the CPU",
        )
    elif here.is_broken:
        yield warning("gpus-missing", f"no GPU can be used here: {here.fault}; the run is on the CPU")


def choose_executor(executor: str | None, parallel: int | None, workload: Workload, *, dry_run: bool) -> str:
    """Return the executor that runs `workload`: by default Slurm if sbatch is found, otherwise this machine.

    Raises InputError, and SlurmUnavailable where a Slurm that is asked for is not here.
    """
    if executor not in (None, "slurm", "local"):
        raise InputError(f"--executor: {executor!r} is not one of slurm, local")
    if parallel is not None and parallel < 1:
        raise InputError(f"--parallel: {parallel} must be at least 1")
    if executor == "slurm" and not slurm.is_available() and not dry_run:
        raise SlurmUnavailable(
            "sbatch is not found here: is this a machine of the cluster? --executor local runs here"
        )
    executor = executor or ("slurm" if slurm.is_available() else "local")
    if executor == "local" and parallel:
        raise InputError(
            "--parallel: on this machine the runs of a sweep wait for its GPUs, and for nothing else: leave it out"
        )
    cluster = workload.cluster
    if executor == "local" and cluster.partition and not cluster.profile:
        raise InputError(
            f"partition {cluster.partition!r}: partitions are Slurm's, and this machine runs the job: leave it out"
        )
    return executor


def find_standing_options(environment: Mapping[str, str]) -> dict[str, Setting]:
    """Return the options of every job of this user, from the settings and from variables, which win."""
    account = read_configuration(environment).account
    variables = {
        name: Setting(value, f"SBATCH_{name.upper()}")
        for name, value in slurm.read_standing_options(environment).items()
    }
    return ({"account": account} if account.value else {}) | variables


def _read_cluster(*, dry_run: bool) -> tuple[Cluster | None, tuple[Problem, ...]]:
    try:
        return read_cluster(), ()
    except SlurmUnavailable as error:
        if not dry_run:
            raise SlurmUnavailable(f"{error}; --executor local runs it on this machine") from None
        return None, (warning("slurm-silent", f"{error}: the job is checked against no cluster"),)


def _choose_profile(workload: Workload, cluster: Cluster | None) -> ClusterProfile | None:
    """Return the profile that the job names, otherwise one of the cluster as it is."""
    if workload.cluster.profile:
        return load_profile(workload.cluster.profile)
    try:
        profile = build_profile(cluster).profile if cluster else None
    except ProfileError:  # no GPU anywhere: sbatch decides
        return None
    if profile is None or profile.default_partition:
        return profile
    most_patient = max(profile.partitions, key=lambda one: one.time_limit or math.inf)
    return profile.model_copy(update={"default_partition": most_patient.name})
