"""Whether a request fits its partitions: their limits, nodes and GPUs.  Pure."""

from collections.abc import Iterator, Sequence

from ....cluster_profiles.gpu import Gpu, match_gpus
from ....cluster_profiles.mig import parse_slice
from ....cluster_profiles.units import format_duration, join_names, plural
from ...slurm.cluster import Cluster, partition_names
from ...slurm.nodes import NodeFacts, PartitionFacts
from ..problem import Problem, refusal, warning
from ..request import SlurmRequest
from .limits import check_limits
from .memory import check_memory
from .reservations import check_reservations

_ROUTES = ("qos", "constraint", "reservation")  # by which a site may choose the partition


def check_on_cluster(request: SlurmRequest, runs: int, cluster: Cluster) -> Iterator[Problem]:
    """Yield everything of `cluster` that stands against `runs` jobs of this request."""
    most = cluster.settings.max_array_size
    if most is not None and runs > most:
        yield refusal("array", f"{runs:,} runs are too many: an array of this Slurm holds at most {most:,}")
    if not request.requeue:
        # --requeue wins over JobRequeue=0, so only the request forbids it.
        yield warning(
            "requeue", "the job may not be requeued: after a time limit or a failure, a new job is submitted"
        )
    for name in partition_names(request.partition):
        yield from _check_partition(request, name, cluster)


def _check_partition(request: SlurmRequest, name: str | None, cluster: Cluster) -> Iterator[Problem]:
    partition = cluster.partition(name)
    if partition is None:
        yield _no_partition(request, name, cluster)
        return
    if not partition.up:
        yield warning("partition-down", f"partition {partition.name!r} is not up: the job waits until it is")
    walltime_s, limit_s = request.walltime_s, partition.limit_s
    if walltime_s is not None and limit_s is not None and walltime_s > limit_s:
        yield refusal(
            "time-limit",
            f"a walltime of {format_duration(walltime_s)} is above the limit of partition {partition.name!r}, {format_duration(limit_s)}: the job would wait for ever",
        )
    nodes = cluster.nodes_of(partition.name)
    misfits = list(_check_nodes(request, partition, nodes))
    yield from misfits
    if not any(problem.refuses for problem in misfits):
        large_enough = [node for node in nodes if _count_gpus(node, request.gres) >= request.gpus_per_node]
        yield from check_memory(request, partition.name, large_enough)
        yield from check_reservations(request, partition.name, large_enough, cluster)
    if cluster.accounting:
        yield from check_limits(request, partition, cluster.accounting)


def _no_partition(request: SlurmRequest, name: str | None, cluster: Cluster) -> Problem:
    """Some sites have no default partition, and choose one by the QOS or another option (Parsl/libsubmit#66, NERSC)."""
    names = join_names(p.name for p in cluster.partitions)
    if name:
        return refusal("partition", f"partition {name!r} does not exist: give one of {names}")
    routes = [f"{option}={value}" for option, value in request.further if option in _ROUTES]
    if routes:
        return warning(
            "partition", f"there is no default partition: the site has to choose one by {join_names(routes)}"
        )
    return refusal(
        "partition",
        f"there is no default partition: give one of {names}, or --slurm qos=NAME where the site chooses one by that",
    )


def possible_gpus(request: SlurmRequest, cluster: Cluster) -> list[Gpu]:
    """Return the GPUs on which the job may land; none if one of them may be anything."""
    partitions = [cluster.partition(name) for name in partition_names(request.partition)]
    nodes = [node for partition in partitions if partition for node in cluster.nodes_of(partition.name)]
    kinds = {kind for node in nodes for kind, _ in node.gpus}
    names = [request.gres] if request.gres else sorted(kinds)
    models = [match_gpus(name) for name in names if name]
    # A type that is not in the catalogue may have every precision.
    return [gpu for matches in models for gpu in matches] if all(models) else []


def _check_nodes(
    request: SlurmRequest, partition: PartitionFacts, nodes: Sequence[NodeFacts]
) -> Iterator[Problem]:
    gres, gpus = request.gres, request.gpus_per_node
    where = f"partition {partition.name!r}"
    kinds = dict.fromkeys(kind for node in nodes for kind, _ in node.gpus)
    if gpus and (not kinds or (gres and gres not in kinds)):
        has = f"has {join_names(kind or 'untyped ones' for kind in kinds)}" if kinds else "has none"
        yield refusal("gpu-type", f"the request is for GPUs{' ' + gres if gres else ''}, and {where} {has}")
        return
    slices = [kind for kind in kinds if parse_slice(kind)]
    if gpus and not gres and slices:
        yield warning(
            "gpu-choice",
            f"the request names no GPU type, and {where} has {join_names(kinds)}: Slurm may give slices; "
            "name a type with --gpu",
        )
    most = max((_count_gpus(node, gres) for node in nodes), default=0)
    if gpus > most:
        wanted = f"{gpus:,} {gres}" if gres and len(kinds) > 1 else plural(gpus, "GPU")
        yield refusal(
            "gpu-count",
            f"the request is for {wanted} per node, and the nodes of {where} have at most {most}",
        )
        return
    if partition.max_nodes is not None and request.nodes > partition.max_nodes:
        yield refusal(
            "nodes",
            f"the request is for {plural(request.nodes, 'node')}, and {where} gives a job at most {partition.max_nodes}",
        )
        return
    large_enough = sum(_count_gpus(node, gres) >= gpus for node in nodes)
    if request.nodes > large_enough:
        yield refusal(
            "nodes",
            f"the request is for {plural(request.nodes, 'node')}, and {where} has {large_enough} with {gpus:,} {gres or 'GPUs'}",
        )


def _count_gpus(node: NodeFacts, gres: str | None) -> int:
    return sum(count for kind, count in node.gpus if not gres or kind == gres)
