"""Where a workload lands: partition, GPU type, nodes, and what precision `auto` means there."""

import itertools
from dataclasses import dataclass

from ...cluster_profiles.gpu import Gpu, find_gpu, match_gpus, shared_precision
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.profile import ClusterProfile, Partition
from ...cluster_profiles.units import ceil_div, plural
from ...errors import InputError, WorkloadError
from .shape import Shape
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
        return ceil_div(self.gpus, self.nodes)

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
        raise WorkloadError(f"{plural(nodes, 'node')} for {plural(gpus, 'GPU')}: give at most one node a GPU")
    may_be = (gpu,) if gpu else _gpus_of(partition) if partition else ()
    precision = workload.training.precision
    if precision is Precision.AUTO:
        precision = shared_precision(may_be) or precision
    return Placement(partition, gpu, precision, nodes, gpus, may_be)


def _gpus_of(partition: Partition) -> tuple[Gpu, ...]:
    """The GPU a partition has, or those that Slurm's name of it may mean; none where nothing says."""
    stated = partition.gpu_model()
    return (stated,) if stated else match_gpus(partition.gres) if partition.gres else ()


def _partition(workload: Workload, profile: ClusterProfile) -> Partition:
    wanted, asked = workload.cluster, profile.partition(workload.cluster.partition)
    there = {p.name: [gpu.key for gpu in _gpus_of(p)] for p in profile.partitions}
    offered = tuple(dict.fromkeys(key for keys in there.values() for key in keys))
    if wanted.gpu is None or not offered:
        return asked
    try:
        key = find_gpu(wanted.gpu, among=offered).key
    except InputError as error:
        raise WorkloadError(f"{profile.name}: {error}") from None
    if key in there[asked.name] or (wanted.partition and not there[asked.name]):
        return asked
    if wanted.partition:
        has = asked.gpu or asked.gres
        raise WorkloadError(f"partition {asked.name!r} of {profile.name} has {has}, not {key}")
    return next(p for p in profile.partitions if key in there[p.name])


def _nodes(workload: Workload, partition: Partition | None) -> int:
    gpus, asked = workload.training.gpus, workload.cluster.nodes
    each = partition.gpus_per_node if partition else USUAL_GPUS_PER_NODE
    nodes = asked or ceil_div(gpus, each)
    if partition is None:
        return nodes
    if gpus > nodes * each:
        raise WorkloadError(
            f"{plural(gpus, 'GPU')} do not fit on {plural(nodes, 'node')} of {each} ({partition.name}): ask for more nodes"
        )
    if nodes > partition.nodes:
        raise WorkloadError(
            f"{plural(nodes, 'node')} for {plural(gpus, 'GPU')} are more than partition {partition.name!r} has: "
            f"{plural(partition.nodes, 'node')} of {plural(each, 'GPU')}, {partition.nodes * each:,} in all"
        )
    return nodes


def shape_of_job(workload: Workload, placement: Placement) -> Shape:
    """Return the shape of a job as it is placed."""
    training = workload.training
    return Shape(
        gpu=placement.gpu.key if placement.gpu else None,
        nodes=placement.nodes,
        gpus=placement.gpus,
        gpus_per_node=placement.gpus_per_node,
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        model_parallel=training.model_parallel,
        precision=placement.precision,
        seq_len=workload.data.seq_len,
    )


def shape_of_stated_rate(workload: Workload, placement: Placement) -> Shape:
    """Return the shape in which the job's stated rate was measured; fields that it leaves out are those of the job.

    >>> job = Workload.of(samples=1, batch_size=32, gpus=16, samples_per_s=44.3, throughput_gpus=8)
    >>> shape_of_stated_rate(job, place(job, None)).gpus
    8
    """
    rate, job = workload.throughput, shape_of_job(workload, placement)
    gpus, nodes = rate.gpus or job.gpus, rate.nodes or job.nodes
    precision = rate.precision or job.precision
    if precision is Precision.AUTO:
        precision = shared_precision(placement.may_be) or precision
    return Shape(
        gpu=job.gpu or rate.gpu,
        nodes=nodes,
        gpus=gpus,
        gpus_per_node=ceil_div(gpus, nodes),
        batch_size=rate.batch_size or job.batch_size,
        accumulation=rate.accumulation or job.accumulation,
        model_parallel=rate.model_parallel or job.model_parallel,
        precision=precision,
        seq_len=rate.seq_len or job.seq_len,
    )


def is_uneven(workload: Workload, placement: Placement) -> str | None:
    """That the nodes would not be alike, and the nearest shapes in which they are; None if they are.

    >>> job = Workload.of(samples=1, batch_size=1, gpus=9)
    >>> is_uneven(job, place(job, None))
    '9 GPUs do not divide over 2 nodes of 8: give 8, 10 or 16, or --nodes 3'
    """
    gpus, nodes, partition = placement.gpus, placement.nodes, placement.partition
    if gpus % nodes == 0:
        return None
    each = partition.gpus_per_node if partition else USUAL_GPUS_PER_NODE

    def even(count: int) -> bool:
        return count % (workload.cluster.nodes or ceil_div(count, each)) == 0

    fewer = next(filter(even, range(gpus - 1, 0, -1)), None)
    more = next(filter(even, itertools.count(gpus + 1)))
    *others, last = sorted({fewer or more, more, max(nodes * each, more)})
    over = [n for n in range(2, 2 * nodes + 1) if gpus % n == 0 and gpus <= n * each]
    fits = [n for n in over if partition is None or n <= partition.nodes]
    ways = f"{', '.join(map(str, others))} or {last}" if others else str(last)
    ways += f", or --nodes {min(fits, key=lambda n: abs(n - nodes))}" if fits else ""
    return f"{gpus:,} GPUs do not divide over {nodes} nodes of {each}: give {ways}"
