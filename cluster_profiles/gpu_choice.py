"""The GPUs of a cluster that a job gets: by the name that it gives, or by default.  Pure."""

from collections.abc import Iterable, Sequence

from ..errors import InputError
from .gpu import check_is_type, match_gpus, may_be_same_gpu, plain_name
from .mig import parse_slice
from .profile import ClusterProfile, GpuGroup, Partition
from .units import ceil_div, join_names, plural

_SAME, _MAY_BE = 2, 1


def choose_gpus(
    profile: ClusterProfile,
    partition: str | None = None,
    gpu: str | None = None,
    gpus: int = 1,
    nodes: int | None = None,
) -> Partition:
    """Return the partition of a job, of the GPUs that the job gets there.

    Without the name of a GPU these are whole ones: the first group of the partition that has room for the job.  With
    a name they are those in the partition that is named, else in the default one, else in the first that has them.
    Of several partitions, with commas between, they are what all have in common.  Raises InputError.

    >>> whole = {"nodes": 1, "gpus_per_node": 2, "gres": "nvidia_h100_80gb_hbm3"}
    >>> cut = {"nodes": 1, "gpus_per_node": 4, "gres": "nvidia_h100_80gb_hbm3_1g.10gb"}
    >>> mixed = {"name": "mixed", **cut, "other_gpus": [whole]}
    >>> profile = ClusterProfile.model_validate({"name": "test", "partitions": [mixed]})
    >>> choose_gpus(profile).gres, choose_gpus(profile, gpu="1g.10gb").gres
    ('nvidia_h100_80gb_hbm3', 'nvidia_h100_80gb_hbm3_1g.10gb')
    """
    if partition and "," in partition:
        names = [name.strip() for name in partition.split(",")]
        if not all(names):
            raise InputError(f"partition {partition!r} has an empty place: write NAME,NAME")
        return _in_common([choose_gpus(profile, name, gpu, gpus, nodes) for name in names])
    default = profile.partition(partition)
    if gpu is None:
        return _with_whole_gpus(default, gpus, nodes)
    others = [] if partition else [other for other in profile.partitions if other is not default]
    matches = _best_matches([default, *others], gpu)
    if matches:
        _check_is_one_type(gpu, [group for _, group in matches])
        first = matches[0][0]
        return first.of_group(_with_room([group for of, group in matches if of is first], gpus, nodes))
    if all(_may_be_anything(group) for one in [default, *others] for group in one.groups):
        return _with_whole_gpus(default, gpus, nodes)
    raise _no_such_gpu(profile, default if partition else None, gpu)


def describe_others(partition: Partition) -> str | None:
    """Return which GPUs a job got in `partition` because it named none, and what to add for others; None without others.

    >>> from clusterplan.cluster_profiles.profile import GpuGroup
    >>> group = GpuGroup(nodes=1, gpus_per_node=2, gres="l40s")
    >>> describe_others(Partition(name="p", nodes=3, gpus_per_node=8, gres="a100", other_gpus=(group,)))
    "partition 'p' has several types of GPUs, and a100 is taken: add --gpu l40s for another"
    """
    rest = [group for group in partition.other_gpus if group.label != partition.label]
    if not rest:
        return None
    names = join_names(dict.fromkeys(group.label for group in rest), between=" or ")
    return (
        f"partition {partition.name!r} has several types of GPUs, and {partition.label} is taken: "
        f"add --gpu {names} for another"
    )


def has_room(group: GpuGroup, gpus: int, nodes: int | None) -> bool:
    """Return whether so many GPUs are in `group`, on so many nodes if that is stated."""
    wanted = nodes or ceil_div(gpus, group.gpus_per_node)
    return wanted <= group.nodes and gpus <= wanted * group.gpus_per_node


def describe_node(partition: Partition) -> str:
    """Return the GPUs of one node, with their type where the partition has several."""
    several = any(group.label != partition.label for group in partition.other_gpus)
    number = partition.gpus_per_node
    return f"{number:,} {partition.label}" if several else plural(number, "GPU")


def _in_common(partitions: Sequence[Partition]) -> Partition:
    """Return what a job may count on that Slurm starts in any of these: the strictest limit, the fewest GPUs, one type."""

    def shared(values: Iterable[str | None]) -> str | None:
        one, *others = dict.fromkeys(values)
        return None if others else one

    limits = [partition.time_limit for partition in partitions if partition.time_limit is not None]
    return partitions[0].model_copy(
        update={
            "name": ",".join(partition.name for partition in partitions),
            "time_limit": min(limits, default=None),
            "nodes": min(partition.nodes for partition in partitions),
            "gpus_per_node": min(partition.gpus_per_node for partition in partitions),
            "gpu": shared(partition.gpu for partition in partitions),
            "gres": shared(partition.gres for partition in partitions),
            "preemptible": any(partition.preemptible for partition in partitions),
            "other_gpus": (),
        }
    )


def _with_whole_gpus(partition: Partition, gpus: int, nodes: int | None) -> Partition:
    whole = [group for group in partition.groups if not group.slice]
    if not whole:
        names = join_names(dict.fromkeys(group.label for group in partition.groups), between=" or ")
        raise InputError(
            f"partition {partition.name!r} has only slices of GPUs, which a job gets by name: add --gpu {names}"
        )
    return partition.of_group(_with_room(whole, gpus, nodes))


def _with_room(groups: Sequence[GpuGroup], gpus: int, nodes: int | None) -> GpuGroup:
    """Return the first group with room for the job; without any, the first, whose room the error then says."""
    return next((group for group in groups if has_room(group, gpus, nodes)), groups[0])


def _best_matches(partitions: Iterable[Partition], name: str) -> list[tuple[Partition, GpuGroup]]:
    """Return the groups that are called `name`; where none is, those that may be meant by it."""
    ranked = [(one, group, _likeness(group, name)) for one in partitions for group in one.groups]
    best = max((rank for *_, rank in ranked), default=0)
    return [(one, group) for one, group, rank in ranked if rank == best > 0]


def _likeness(group: GpuGroup, name: str) -> int:
    names = [group.gres, group.slice or group.gpu]
    if plain_name(name) in {plain_name(known) for known in names if known}:
        return _SAME
    cut = parse_slice(group.gres or "")
    whole = group.gpu or (cut.gpu if cut else None)
    known = "_".join(filter(None, (whole, group.slice))) if group.slice else group.gpu or group.gres
    return _MAY_BE * bool(known and may_be_same_gpu(known, name))


def _check_is_one_type(name: str, groups: Sequence[GpuGroup]) -> None:
    """Raise InputError if the groups are several types: for Slurm, or under one name of Slurm as the profile states."""
    types = dict.fromkeys(group.type_name for group in groups)
    labels = dict.fromkeys(group.label for group in groups)
    is_stated = all(group.gpu for group in groups)
    if len(types) > 1 and (len(labels) > 1 or is_stated):
        names = labels if len(labels) > 1 else types
        raise InputError(f"GPU {name!r} is ambiguous: give one of {', '.join(map(str, names))}")


def _may_be_anything(group: GpuGroup) -> bool:
    """Return whether a group may be of any type: Slurm has no name for it, or one that the catalogue lacks."""
    return not group.slice and not group.gpu and not match_gpus(group.gres or "")


def _no_such_gpu(profile: ClusterProfile, partition: Partition | None, gpu: str) -> InputError:
    groups = partition.groups if partition else [group for one in profile.partitions for group in one.groups]
    names = list(dict.fromkeys(group.type_name for group in groups if group.type_name))
    if names:
        check_is_type(gpu, names[0])
    if partition:
        return InputError(
            f"partition {partition.name!r} of {profile.name} has {join_names(names)}, not {gpu}"
        )
    return InputError(f"{profile.name}: no partition has GPU {gpu!r}: give {join_names(names)}")
