"""A profile from what Slurm says of its cluster, and how an older profile differs from that.  Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...cluster_profiles.files.toml_file import validate
from ...cluster_profiles.gpu import match_gpus, may_be_same_gpu
from ...cluster_profiles.mig import parse_slice
from ...cluster_profiles.profile import ClusterProfile, GpuGroup, Partition
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
    """Return the profile of `cluster`: each partition with GPUs, by default those whole ones of which it has most.

    Raises ProfileError if no partition has GPUs, or the name cannot be that of a profile.
    """
    partitions: list[dict[str, object]] = []
    notes = []
    for facts in cluster.partitions:
        groups = [_group(*shape, nodes) for shape, nodes in _shapes(cluster.nodes_of(facts.name))]
        if not groups:
            notes.append(f"partition {facts.name!r} has no GPUs: left out")
            continue
        notes += [note for group in groups if (note := _unsure(group))]
        if len({group.label for group in groups}) > 1:
            notes.append(_default_type(facts.name, groups))
        partitions.append(
            {
                "name": facts.name,
                **_keys(groups[0]),
                **({"other_gpus": [_keys(group) for group in groups[1:]]} if groups[1:] else {}),
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
        lines += _differences_of_groups(stated, cluster)
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


def _differences_of_groups(stated: Partition, cluster: Cluster) -> list[str]:
    where = f"partition {stated.name!r}"
    shapes = dict(_shapes(cluster.nodes_of(stated.name)))
    if not shapes:
        return [f"{where}: its nodes have no GPUs"]
    lines = [line for group in stated.groups for line in _differences_of_group(where, group, shapes)]
    names = {group.gres for group in stated.groups}
    if not lines and None not in names:
        lines += [
            f"{where}: it also has {plural(nodes, 'node')} of {gpus} {gres or 'untyped GPUs'}: add them as other_gpus"
            for (gres, gpus), nodes in shapes.items()
            if gres not in names
        ]
    return lines


def _differences_of_group(where: str, stated: GpuGroup, shapes: Mapping[tuple[str, int], int]) -> list[str]:
    kinds = [shape for shape in shapes if shape[0] == stated.gres or not stated.gres]
    if not kinds:
        names = join_names(dict.fromkeys(gres or "no type" for gres, _ in shapes))
        return [f"{where}: Slurm calls its GPUs {names}, not {stated.gres}"]
    lines = []
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
    """Return GRES type and GPUs of a node, with the number of such nodes: whole GPUs first, then those of which are most."""
    counts = Counter(kind for node in nodes for kind in node.gpus)

    def order(shape: tuple[tuple[str, int], int]) -> tuple[bool, int, int, str]:
        (gres, gpus), number = shape
        return parse_slice(gres) is not None, -gpus * number, -number, gres

    return sorted(counts.items(), key=order)


def _group(gres: str, gpus: int, nodes: int) -> GpuGroup:
    cut = parse_slice(gres)
    models = match_gpus((cut.gpu or "") if cut else gres)
    return GpuGroup(
        nodes=nodes,
        gpus_per_node=gpus,
        gpu=models[0].key if len(models) == 1 else None,
        gres=gres or None,
        slice=cut.profile if cut else None,
    )


def _keys(group: GpuGroup) -> dict[str, object]:
    return group.model_dump(exclude_none=True)


def _default_type(partition: str, groups: Sequence[GpuGroup]) -> str:
    first = groups[0]
    if first.slice:
        return f"partition {partition!r} has only slices of GPUs: a job gets them by name"
    return f"partition {partition!r} has several types of GPUs: a job that names none gets {first.label}"


def _unsure(group: GpuGroup) -> str | None:
    """Return what is not known of a group's type; None if all is, and of a slice, whose GPU need not be known."""
    if group.gpu or group.slice:
        return None
    gres = group.gres or ""
    several = [gpu.key for gpu in match_gpus(gres)]
    if several:
        return f"{gres!r} in Slurm may be {' or '.join(several)}: add the right one as gpu"
    fault = f"{gres!r} is not in the catalogue" if gres else "Slurm does not state the GPU type"
    return f"{fault}: add its type as gpu"


def _limit(seconds: float | None) -> str:
    return "none" if seconds is None else format_duration(seconds)
