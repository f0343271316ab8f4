"""Where a workload lands: partition, GPU type, nodes, and what precision `auto` means there."""

from dataclasses import dataclass

from ..cluster_profiles.gpu import Gpu, find_gpu, gpus_called, shared_precision
from ..cluster_profiles.precision import Precision
from ..cluster_profiles.profile import ClusterProfile, Partition
from ..cluster_profiles.units import counted
from ..errors import InputError, WorkloadError
from .steps import cdiv
from .workload import Workload

USUAL_GPUS_PER_NODE = 8  # where no profile says


@dataclass(frozen=True)
class Placement:
    """The machines one run occupies; `partition` and `gpu` are None where nothing says what they are.

    `may_be` holds `gpu`, or those that Slurm's name of it may mean.
    """

    partition: Partition | None
    gpu: Gpu | None
    precision: Precision
    nodes: int
    gpus: int
    may_be: tuple[Gpu, ...] = ()

    @property
    def gpus_per_node(self) -> int:
        """GPUs on the fullest node."""
        return cdiv(self.gpus, self.nodes)

    @property
    def limit_s(self) -> float | None:
        """The partition's time limit."""
        return self.partition.time_limit if self.partition else None


def place(workload: Workload, profile: ClusterProfile | None) -> Placement:
    """Where `workload` runs.  Raises WorkloadError for what the profile does not have."""
    wanted, gpus = workload.cluster, workload.training.gpus
    partition = _partition(workload, profile) if profile else None
    if wanted.partition and profile is None:
        raise WorkloadError(f"partition {wanted.partition!r} needs a profile that has it: add one")
    gpu = partition.gpu_model() if partition else None
    if wanted.gpu and gpu is None:
        gpu = find_gpu(wanted.gpu)
    nodes = _nodes(workload, partition)
    if nodes > gpus:
        raise WorkloadError(
            f"{counted(nodes, 'node')} for {counted(gpus, 'GPU')}: give at most one node a GPU"
        )
    may_be = (gpu,) if gpu else gpus_called(partition.gres) if partition and partition.gres else ()
    precision = workload.training.precision
    if precision is Precision.AUTO:
        precision = shared_precision(may_be) or precision
    return Placement(partition, gpu, precision, nodes, gpus, may_be)


def _partition(workload: Workload, profile: ClusterProfile) -> Partition:
    wanted = workload.cluster
    if wanted.gpu is None:
        return profile.partition(wanted.partition)
    offered = tuple(dict.fromkeys(p.gpu for p in profile.partitions if p.gpu))
    if not offered:
        return profile.partition(wanted.partition)
    try:
        key = find_gpu(wanted.gpu, among=offered).key
    except InputError as error:
        raise WorkloadError(f"{profile.name}: {error}") from None
    fitting = [p for p in profile.partitions if p.gpu == key]
    default = profile.partition(wanted.partition)
    if wanted.partition and default not in fitting:
        raise WorkloadError(f"partition {default.name!r} of {profile.name} has {default.gpu}, not {key}")
    return default if default in fitting else fitting[0]


def _nodes(workload: Workload, partition: Partition | None) -> int:
    gpus, asked = workload.training.gpus, workload.cluster.nodes
    each = partition.gpus_per_node if partition else USUAL_GPUS_PER_NODE
    nodes = asked or cdiv(gpus, each)
    if partition is None:
        return nodes
    if gpus > nodes * each:
        raise WorkloadError(
            f"{counted(gpus, 'GPU')} do not fit on {counted(nodes, 'node')} of {each} ({partition.name}): ask for more nodes"
        )
    if nodes > partition.nodes:
        raise WorkloadError(
            f"{counted(gpus, 'GPU')} on {counted(nodes, 'node')} are more than partition {partition.name!r} has: "
            f"{counted(partition.nodes, 'node')} of {counted(each, 'GPU')}, {partition.nodes * each:,} in all"
        )
    return nodes
