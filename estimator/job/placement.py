"""The placement of a workload: partition, GPU type, nodes, and the precision that `auto` means there."""

import itertools
from dataclasses import dataclass

from ...cluster_profiles.gpu import (
    Gpu,
    check_is_type,
    gpu_type,
    match_gpus,
    read_gpus,
    shared_precision,
)
from ...cluster_profiles.gpu_choice import choose_gpus, describe_node
from ...cluster_profiles.mig import parse_slice
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.profile import ClusterProfile, Partition
from ...cluster_profiles.units import ceil_div, plural
from ...errors import InputError, WorkloadError
from .shape import Shape
from .workload import Workload

USUAL_GPUS_PER_NODE = 8  # without a profile


@dataclass(frozen=True)
class Placement:
    """The machines of one run; `partition` and `gpu_type` are None where they are not known.

    `gpu_type` is the GPU's key in the catalogue, or its name as it is stated where that is no type of the catalogue, or
    several; `cluster` is the name of the profile.  `by_default`: the partition is the one of jobs that name none.
    """

    partition: Partition | None
    gpu_type: str | None
    precision: Precision
    nodes: int
    gpus: int
    cluster: str | None = None
    by_default: bool = False

    @property
    def gpu(self) -> Gpu | None:
        """Return the catalogue's entry of the GPU type; None if it has none."""
        return read_gpus().get(self.gpu_type or "")

    @property
    def possible_gpus(self) -> tuple[Gpu, ...]:
        """Return `gpu`, or every type that its name may mean; of a slice, those that it may be cut from."""
        return _possible_gpus(self.partition, self.gpu_type)

    @property
    def partition_name(self) -> str | None:
        """Return the name of the partition, or several with commas between; None if it is not known."""
        return self.partition.name if self.partition else None

    @property
    def gpus_per_node(self) -> int:
        """Return the GPUs on the fullest node."""
        return ceil_div(self.gpus, self.nodes)

    @property
    def limit_s(self) -> float | None:
        """Return the time limit of the partition in seconds; None if there is none."""
        return self.partition.time_limit if self.partition else None


def place(workload: Workload, profile: ClusterProfile | None) -> Placement:
    """Return the placement of `workload`.  Raises WorkloadError if the profile has no room for it."""
    cluster, gpus = workload.cluster, workload.training.gpus
    if cluster.partition and profile is None:
        raise WorkloadError(f"partition {cluster.partition!r} needs a cluster profile: add --profile")
    try:
        partition = (
            choose_gpus(profile, cluster.partition, cluster.gpu, gpus, cluster.nodes) if profile else None
        )
    except InputError as error:
        raise WorkloadError(str(error)) from None
    type_ = (partition.type_name if partition.slice else partition.gpu) if partition else None
    if cluster.gpu and type_ is None:
        check_is_type(cluster.gpu)
        type_ = gpu_type(cluster.gpu)
    nodes = _nodes(workload, partition)
    if nodes > gpus:
        raise WorkloadError(
            f"{plural(nodes, 'node')} for {plural(gpus, 'GPU')}: give at most one node per GPU"
        )
    precision = workload.training.precision
    if precision is Precision.AUTO:
        precision = shared_precision(_possible_gpus(partition, type_)) or precision
    default = profile.partition().name if profile and not cluster.partition else None
    return Placement(
        partition,
        type_,
        precision,
        nodes,
        gpus,
        cluster=profile.name if profile else None,
        by_default=partition is not None and partition.name == default,
    )


def _possible_gpus(partition: Partition | None, type_: str | None) -> tuple[Gpu, ...]:
    if gpu := read_gpus().get(type_ or ""):
        return (gpu,)
    if partition and partition.slice:
        cut = parse_slice(partition.gres or "")
        return match_gpus(partition.gpu or (cut and cut.gpu) or "")
    name = type_ or (partition.gres if partition else None)
    return match_gpus(name) if name else ()


def _nodes(workload: Workload, partition: Partition | None) -> int:
    gpus, per_node = workload.training.gpus, partition.gpus_per_node if partition else USUAL_GPUS_PER_NODE
    nodes = workload.cluster.nodes or ceil_div(gpus, per_node)
    if partition is None:
        return nodes
    if gpus > nodes * per_node:
        raise WorkloadError(
            f"{plural(gpus, 'GPU')} do not fit on {plural(nodes, 'node')} of {describe_node(partition)} "
            f"({partition.name}): ask for more nodes"
        )
    if nodes > partition.nodes:
        raise WorkloadError(
            f"{plural(nodes, 'node')} for {plural(gpus, 'GPU')} are more than partition {partition.name!r} has: "
            f"{plural(partition.nodes, 'node')} of {describe_node(partition)}, {partition.nodes * per_node:,} in all"
        )
    return nodes


def shape_of_job(workload: Workload, placement: Placement) -> Shape:
    """Return the shape of a job as it is placed."""
    training = workload.training
    return Shape(
        gpu=placement.gpu_type,
        nodes=placement.nodes,
        gpus=placement.gpus,
        gpus_per_node=placement.gpus_per_node,
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        model_parallel=training.model_parallel,
        precision=placement.precision,
        seq_len=workload.data.seq_len,
        tensor_parallel=training.tensor_parallel,
        pipeline_parallel=training.pipeline_parallel,
        zero_stage=training.zero_stage,
    )


def shape_of_stated_rate(workload: Workload, placement: Placement) -> Shape:
    """Return the shape in which the job's stated rate was measured; fields that it leaves out are those of the job.

    Another number of GPUs is on the fewest nodes that have them.

    >>> job = Workload.of(samples=1, batch_size=32, gpus=16, samples_per_s=44.3, throughput_gpus=8)
    >>> shape = shape_of_stated_rate(job, place(job, None))
    >>> shape.gpus, shape.nodes
    (8, 1)
    >>> job = Workload.of(samples=1, batch_size=1, gpus=16, tensor_parallel=8, samples_per_s=44.3)
    >>> shape_of_stated_rate(job, place(job, None)).tensor_parallel
    8
    """
    rate, job = workload.throughput, shape_of_job(workload, placement)
    gpus, per_node = rate.gpus or job.gpus, USUAL_GPUS_PER_NODE
    if placement.partition:
        per_node = placement.partition.gpus_per_node
    nodes = rate.nodes or (job.nodes if gpus == job.gpus else ceil_div(gpus, per_node))
    precision = rate.precision or job.precision
    if precision is Precision.AUTO:
        precision = shared_precision(placement.possible_gpus) or precision
    as_job = rate.model_parallel in (None, job.model_parallel)
    return Shape(
        gpu=job.gpu or rate.gpu,
        nodes=nodes,
        gpus=gpus,
        gpus_per_node=ceil_div(gpus, nodes),
        batch_size=rate.batch_size or job.batch_size,
        accumulation=rate.accumulation or job.accumulation,
        model_parallel=rate.model_parallel or job.model_parallel,
        precision=precision,
        seq_len=rate.seq_len or workload.data.tokens_per_sample,
        tensor_parallel=job.tensor_parallel if as_job else None,
        pipeline_parallel=job.pipeline_parallel if as_job else None,
        zero_stage=job.zero_stage if as_job else None,
    )


def is_uneven(workload: Workload, placement: Placement) -> str | None:
    """Return that the nodes would not have equal GPUs, and the nearest shapes in which they do; None if they do.

    >>> job = Workload.of(samples=1, batch_size=1, gpus=9)
    >>> is_uneven(job, place(job, None))
    '9 GPUs do not divide over 2 nodes of 8: give 8, 10 or 16, or --nodes 3'
    """
    gpus, nodes, partition = placement.gpus, placement.nodes, placement.partition
    if gpus % nodes == 0:
        return None
    per_node = partition.gpus_per_node if partition else USUAL_GPUS_PER_NODE

    def is_even(count: int) -> bool:
        return count % (workload.cluster.nodes or ceil_div(count, per_node)) == 0

    fewer = next(filter(is_even, range(gpus - 1, 0, -1)), None)
    more = next(filter(is_even, itertools.count(gpus + 1)))
    *counts, largest = sorted({fewer or more, more, max(nodes * per_node, more)})
    even_nodes = [n for n in range(2, 2 * nodes + 1) if gpus % n == 0 and gpus <= n * per_node]
    even_nodes = [n for n in even_nodes if partition is None or n <= partition.nodes]
    remedy = f"{', '.join(map(str, counts))} or {largest}" if counts else str(largest)
    remedy += f", or --nodes {min(even_nodes, key=lambda n: abs(n - nodes))}" if even_nodes else ""
    return f"{gpus:,} GPUs do not divide over {nodes} nodes of {per_node}: give {remedy}"
