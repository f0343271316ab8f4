"""A profile from what Slurm says of its cluster, and how an older profile differs from that.  Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...cluster_profiles.gpu import match_gpus
from ...cluster_profiles.profile import ClusterProfile, Partition
from ...cluster_profiles.toml_file import validate
from ...cluster_profiles.units import format_duration, join_names, plural
from ...errors import ProfileError
from .cluster import Cluster
from .nodes import NodeFacts


@dataclass(frozen=True)
class Discovery:
    """A profile, and a line for each thing that it does not say."""

    profile: ClusterProfile
    notes: tuple[str, ...]


def discover(cluster: Cluster, name: str | None = None) -> Discovery:
    """The profile of `cluster`: each partition with GPUs, in the commonest shape of its nodes.

    Raises ProfileError where no partition has any, or a name is none that a profile could have.
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
        fitting = match_gpus(gres)
        if len(fitting) != 1:
            notes.append(_unsure(gres))
        partitions.append(
            {
                "name": facts.name,
                "nodes": nodes,
                "gpus_per_node": gpus,
                **({"gpu": fitting[0].key} if len(fitting) == 1 else {}),
                **({"gres": gres} if gres else {}),
                "time_limit": facts.limit_s or "infinite",
                "preemptible": cluster.preempts(facts),
            }
        )
    if not partitions:
        raise ProfileError(
            "no partition of this cluster has GPUs that Slurm knows of: write a profile by hand"
        )
    notes.append("which folders every node sees is not known to Slurm: put them in as shared_folders")
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
    """A line for each way in which `profile` is not what the cluster is.

    A partition that the profile leaves out is none.
    """
    live = {partition.name: partition for partition in cluster.partitions}
    found = []
    for told in profile.partitions:
        if told.name not in live:
            found.append(f"partition {told.name!r} is not on the cluster: it has {join_names(live)}")
            continue
        facts = live[told.name]
        if told.time_limit != facts.limit_s:
            found.append(
                f"partition {told.name!r}: its time limit is {_limit(facts.limit_s)}, not {_limit(told.time_limit)}"
            )
        found += _differences_of_nodes(told, cluster)
        preempts = cluster.preempts(facts)
        if told.preemptible != preempts:
            found.append(
                f"partition {told.name!r}: its jobs may {'' if preempts else 'not '}be preempted: preemptible = {str(preempts).lower()}"
            )
    if profile.requeue != cluster.settings.requeue:
        found.append(f"requeue is {str(cluster.settings.requeue).lower()} on the cluster")
    default = cluster.partition(None)
    if profile.default_partition and default and profile.default_partition != default.name:
        found.append(f"the default partition is {default.name!r}, not {profile.default_partition!r}")
    return found


def _differences_of_nodes(told: Partition, cluster: Cluster) -> list[str]:
    where = f"partition {told.name!r}"
    shapes = dict(_shapes(cluster.nodes_of(told.name)))
    if not shapes:
        return [f"{where}: its nodes have no GPUs"]
    kinds = [shape for shape in shapes if shape[0] == told.gres or not told.gres]
    found = []
    if not kinds:
        there = join_names(dict.fromkeys(gres or "no type" for gres, _ in shapes))
        return [f"{where}: Slurm calls its GPUs {there}, not {told.gres}"]
    fitting = [shape for shape in kinds if shape[1] == told.gpus_per_node]
    if not fitting:
        there = join_names(dict.fromkeys(str(gpus) for _, gpus in kinds))
        found.append(f"{where}: its nodes have {there} GPUs, not {told.gpus_per_node}")
    nodes = sum(shapes[shape] for shape in fitting)
    if fitting and nodes != told.nodes:
        found.append(f"{where}: it has {plural(nodes, 'such node')}, not {told.nodes:,}")
    model = told.gpu_model()
    known = [gres for gres, _ in kinds if match_gpus(gres)]
    if model and known and not any(model.answers_to(gres) for gres in known):
        found.append(f"{where}: its GPUs are {join_names(dict.fromkeys(known))}, not {model.key}")
    return found


def _place(location: tuple[int | str, ...]) -> str:
    return f"this cluster cannot be written as a profile: {location[-1]}: "


def _shapes(nodes: Sequence[NodeFacts]) -> list[tuple[tuple[str, int], int]]:
    """GRES type and GPUs of a node, with how many nodes are so: the commonest first, then the largest."""
    counts = Counter(max(node.gpus, key=lambda kind: kind[1]) for node in nodes if node.gpus)
    return sorted(counts.items(), key=lambda shape: (-shape[1], -shape[0][1], shape[0][0]))


def _shape(gres: str, gpus: int) -> str:
    return f"{gpus} {gres or 'untyped'}"


def _unsure(gres: str) -> str:
    several = [gpu.key for gpu in match_gpus(gres)]
    if several:
        return f"what Slurm calls {gres!r} may be {' or '.join(several)}: put the right one in as gpu"
    said = f"{gres!r} is not in the catalogue" if gres else "Slurm does not say of what type the GPUs are"
    return f"{said}: put in gpu, if you know it"


def _limit(seconds: float | None) -> str:
    return "none" if seconds is None else format_duration(seconds)
