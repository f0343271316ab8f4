"""A profile from what Slurm says of its cluster, and how an older profile differs from that.  Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...cluster_profiles.gpu import match_gpus, may_be_same_gpu
from ...cluster_profiles.profile import ClusterProfile, Partition
from ...cluster_profiles.toml_file import validate
from ...cluster_profiles.units import format_duration, join_names, plural
from ...errors import ProfileError
from .cluster import Cluster
from .nodes import NodeFacts


@dataclass(frozen=True)
class Discovery:
    """A profile, and a note for each fact that it lacks."""

    profile: ClusterProfile
    notes: tuple[str, ...]


def build_profile(cluster: Cluster, name: str | None = None) -> Discovery:
    """Return the profile of `cluster`: each partition with GPUs, in the commonest shape of its nodes.

    Raises ProfileError if no partition has GPUs, or the name cannot be that of a profile.
    """
    partitions: list[dict[str, object]] = []
    notes = []
    for facts in cluster.partitions:
        shapes = _shapes(cluster.nodes_of(facts.name))
        if not shapes:
            notes.append(f"partition {facts.name!r} has no GPUs: left out")
            continue
        (gres, gpus), nodes = shapes[0]
        if len(shapes) > 1:
            rest = ", ".join(f"{plural(n, 'node')} of {_shape(*shape)}" for shape, n in shapes[1:])
            notes.append(
                f"partition {facts.name!r} has nodes of several shapes: {plural(nodes, 'node')} of {_shape(gres, gpus)} taken, {rest} left out"
            )
        models = match_gpus(gres)
        if len(models) != 1:
            notes.append(_unsure(gres))
        partitions.append(
            {
                "name": facts.name,
                "nodes": nodes,
                "gpus_per_node": gpus,
                **({"gpu": models[0].key} if len(models) == 1 else {}),
                **({"gres": gres} if gres else {}),
                "time_limit": facts.limit_s or "infinite",
                "preemptible": cluster.preempts(facts),
            }
        )
    if not partitions:
        raise ProfileError(
            "no partition of this cluster has GPUs that Slurm knows of: write a profile by hand"
        )
    notes.append("Slurm does not know which folders every node sees: add them as shared_folders")
    default = cluster.partition(None)
    values = {
        "name": name or cluster.settings.cluster,
        "description": f"Slurm {cluster.settings.version} cluster {cluster.settings.cluster}",
        **(
            {"default_partition": default.name}
            if default and default.name in {p["name"] for p in partitions}
            else {}
        ),
        "requeue": cluster.settings.requeue,
        "partitions": partitions,
    }
    profile = validate(ClusterProfile, values, _place, ProfileError)
    return Discovery(profile, tuple(dict.fromkeys(notes)))


def differences(profile: ClusterProfile, cluster: Cluster) -> list[str]:
    """Return a line for each difference between `profile` and the cluster.

    A partition that the profile leaves out is no difference.
    """
    live = {partition.name: partition for partition in cluster.partitions}
    lines = []
    for stated in profile.partitions:
        if stated.name not in live:
            lines.append(f"partition {stated.name!r} is not on the cluster: it has {join_names(live)}")
            continue
        facts = live[stated.name]
        if stated.time_limit != facts.limit_s:
            lines.append(
                f"partition {stated.name!r}: its time limit is {_limit(facts.limit_s)}, not {_limit(stated.time_limit)}"
            )
        lines += _differences_of_nodes(stated, cluster)
        preempts = cluster.preempts(facts)
        if stated.preemptible != preempts:
            lines.append(
                f"partition {stated.name!r}: its jobs may {'' if preempts else 'not '}be preempted: preemptible = {str(preempts).lower()}"
            )
    if profile.requeue != cluster.settings.requeue:
        lines.append(f"requeue is {str(cluster.settings.requeue).lower()} on the cluster")
    default = cluster.partition(None)
    if profile.default_partition and default and profile.default_partition != default.name:
        lines.append(f"the default partition is {default.name!r}, not {profile.default_partition!r}")
    return lines


def _differences_of_nodes(stated: Partition, cluster: Cluster) -> list[str]:
    where = f"partition {stated.name!r}"
    shapes = dict(_shapes(cluster.nodes_of(stated.name)))
    if not shapes:
        return [f"{where}: its nodes have no GPUs"]
    kinds = [shape for shape in shapes if shape[0] == stated.gres or not stated.gres]
    lines = []
    if not kinds:
        names = join_names(dict.fromkeys(gres or "no type" for gres, _ in shapes))
        return [f"{where}: Slurm calls its GPUs {names}, not {stated.gres}"]
    sizes = [shape for shape in kinds if shape[1] == stated.gpus_per_node]
    if not sizes:
        names = join_names(dict.fromkeys(str(gpus) for _, gpus in kinds))
        lines.append(f"{where}: its nodes have {names} GPUs, not {stated.gpus_per_node}")
    nodes = sum(shapes[shape] for shape in sizes)
    if sizes and nodes != stated.nodes:
        lines.append(f"{where}: it has {plural(nodes, 'such node')}, not {stated.nodes:,}")
    types = [gres for gres, _ in kinds if match_gpus(gres)]
    if stated.gpu and types and not any(may_be_same_gpu(stated.gpu, gres) for gres in types):
        lines.append(f"{where}: its GPUs are {join_names(dict.fromkeys(types))}, not {stated.gpu}")
    return lines


def _place(location: tuple[int | str, ...]) -> str:
    return f"this cluster cannot be written as a profile: {location[-1]}: "


def _shapes(nodes: Sequence[NodeFacts]) -> list[tuple[tuple[str, int], int]]:
    """Return GRES type and GPUs of a node, with the number of such nodes: the commonest first, then the largest."""
    counts = Counter(max(node.gpus, key=lambda kind: kind[1]) for node in nodes if node.gpus)
    return sorted(counts.items(), key=lambda shape: (-shape[1], -shape[0][1], shape[0][0]))


def _shape(gres: str, gpus: int) -> str:
    return f"{gpus} {gres or 'untyped'}"


def _unsure(gres: str) -> str:
    several = [gpu.key for gpu in match_gpus(gres)]
    if several:
        return f"{gres!r} in Slurm may be {' or '.join(several)}: add the right one as gpu"
    fault = f"{gres!r} is not in the catalogue" if gres else "Slurm does not state the GPU type"
    return f"{fault}: add its type as gpu"


def _limit(seconds: float | None) -> str:
    return "none" if seconds is None else format_duration(seconds)
