"""A campaign read: its file or several job files, the cluster, and the caps."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...cluster_profiles.catalog import load_profile
from ...cluster_profiles.gpu import may_be_same_gpu
from ...cluster_profiles.profile import ClusterProfile
from ...cluster_profiles.units import join_names, parse_count
from ...errors import InputError
from ...estimator.campaign.definition.campaign_file import (
    CampaignFile,
    Cap,
    JobEntry,
    is_campaign,
    read_campaign_file,
)
from ...estimator.job.placement import USUAL_GPUS_PER_NODE
from ...estimator.job.workload import Workload
from ..job import Job, read_workload, with_site_defaults

Source = str | os.PathLike[str] | Sequence[Job]


@dataclass(frozen=True)
class Training:
    """A job of the campaign: its entry, its workload, and the job file if there is one."""

    name: str
    entry: JobEntry
    workload: Workload
    file: Path | None


@dataclass(frozen=True)
class Definition:
    """What is to be planned: the campaign as written, its jobs by name, the cluster, and the caps by name."""

    name: str
    file: CampaignFile
    trainings: Mapping[str, Training]
    profile: ClusterProfile | None
    caps: Mapping[str, Cap]
    path: Path | None = None

    def caps_of(self, training: Training) -> list[str]:
        """Return the names of the caps that a job may run under.  Raises InputError if there is none."""
        cluster = training.workload.cluster
        names = [
            name
            for name, cap in self.caps.items()
            if not (cap.partition and cluster.partition and cap.partition != cluster.partition)
            and not (cap.gpu and cluster.gpu and not may_be_same_gpu(cap.gpu, cluster.gpu))
        ]
        if names:
            return names
        wish = " and ".join(
            f"{what} {value!r}"
            for what, value in (("partition", cluster.partition), ("GPU", cluster.gpu))
            if value
        )
        raise InputError(
            f"job {training.name!r} asks for {wish}, and no cap is on it: there are caps on {join_names(self.caps)}"
        )


def read_definition(
    source: Source,
    *,
    caps: Sequence[str] = (),
    profile: str | os.PathLike[str] | ClusterProfile | None = None,
) -> Definition:
    """Return the campaign in a file, or that of several jobs; `caps` are such as "16" or "gpu=16".  Raises InputError."""
    if isinstance(source, str | os.PathLike) and is_campaign(Path(source)):
        path = Path(source)
        written = read_campaign_file(path)
        entries: list[tuple[JobEntry, Job]] = [(entry, path.parent / entry.file) for entry in written.jobs]
        name = written.name or path.stem
    else:
        jobs = [source] if isinstance(source, str | os.PathLike) else list(source)
        if not jobs:
            raise InputError("nothing to schedule: give a campaign file, or several job files")
        path, name = None, "campaign"
        entries = [
            (JobEntry(file=str(job) if not isinstance(job, Workload) else "(a Workload)"), job)
            for job in jobs
        ]
        written = CampaignFile.model_construct(jobs=tuple(entry for entry, _ in entries))
    trainings = _read_trainings(entries)
    cluster = _cluster(profile or written.profile, trainings)
    if profile is None and written.profile is None:
        trainings = {
            name: Training(name, t.entry, with_site_defaults(t.workload, has_cluster=False), t.file)
            for name, t in trainings.items()
        }
        cluster = cluster or _cluster(None, trainings)
    stated = tuple(map(parse_cap, caps)) or written.caps or _default_caps(trainings, cluster)
    return Definition(name, written, trainings, cluster, {_name(cap): cap for cap in stated}, path)


def _read_trainings(entries: Sequence[tuple[JobEntry, Job]]) -> dict[str, Training]:
    trainings: dict[str, Training] = {}
    for entry, job in entries:
        workload = read_workload(job, {})
        file = None if isinstance(job, Workload) else Path(job)
        name = entry.name or workload.name or (file.stem if file else f"job-{len(trainings) + 1}")
        if name in trainings:
            raise InputError(
                f"two jobs are called {name!r}: give one of them a name of its own, `name` in [[jobs]]"
            )
        trainings[name] = Training(name, entry, workload, file)
    return trainings


def _cluster(
    profile: str | os.PathLike[str] | ClusterProfile | None, trainings: Mapping[str, Training]
) -> ClusterProfile | None:
    """Return the profile of the campaign: the stated one, or that of its jobs.  Raises InputError if they name several."""
    if isinstance(profile, ClusterProfile):
        return profile
    names = {t.workload.cluster.profile: t.name for t in trainings.values() if t.workload.cluster.profile}
    stated = os.fspath(profile) if profile else None
    others = [name for name in names if name != stated] if stated else list(names)[1:]
    if others:
        first = stated or next(iter(names))
        raise InputError(
            f"job {names[others[0]]!r} is for the cluster {others[0]!r}, and the campaign for {first!r}: a campaign is of one cluster"
        )
    name = stated or next(iter(names), None)
    return load_profile(name) if name else None


def _default_caps(trainings: Mapping[str, Training], profile: ClusterProfile | None) -> tuple[Cap, ...]:
    """Return the partitions that the jobs name, as a whole.  Raises InputError if no cluster is known."""
    if profile is None:
        raise InputError(
            "no cap is known: give the GPUs that the campaign may hold at once, as [[caps]] with gpus = 16, or --cap 16"
        )
    names = dict.fromkeys(profile.partition(t.workload.cluster.partition).name for t in trainings.values())
    return tuple(Cap(partition=name) for name in names)


def parse_cap(text: str) -> Cap:
    """Return a cap as the command line has it: GPUs, or a partition and its GPUs.  Raises InputError.

    >>> parse_cap("gpu=16").partition, parse_cap("16").gpus
    ('gpu', 16)
    """
    partition, _, count = text.rpartition("=")
    try:
        gpus = parse_count(count)
    except ValueError:
        gpus = 0
    if gpus <= 0:
        raise InputError(f"--cap: {text!r} is no number of GPUs: write 16, or gpu=16 for the partition gpu")
    return Cap(partition=partition or None, gpus=gpus)


def _name(cap: Cap) -> str:
    return "/".join(part for part in (cap.partition, cap.gpu) if part) or "cap"


def gpus_per_node(cap: Cap, profile: ClusterProfile | None) -> int:
    """Return the GPUs on each node under a cap."""
    if cap.gpus_per_node:
        return cap.gpus_per_node
    if profile is None:
        return USUAL_GPUS_PER_NODE
    return _group_of(cap, profile)[0]


def gpus_in_all(cap: Cap, profile: ClusterProfile | None) -> int:
    """Return the most GPUs at once under a cap.  Raises InputError if that is not known, or more than there are."""
    if profile is None:
        if cap.gpus is None:
            raise InputError(
                f"cap {_name(cap)}: gpus is missing, and no profile says how many there are: give gpus = 16"
            )
        return cap.gpus
    per_node, nodes = _group_of(cap, profile)
    if cap.gpus and cap.gpus > per_node * nodes:
        raise InputError(
            f"cap {_name(cap)}: {cap.gpus:,} GPUs are more than {profile.name} has there: {nodes} nodes of {per_node}, "
            f"{per_node * nodes:,} in all"
        )
    return cap.gpus or per_node * nodes


def gpus_in_partition(definition: Definition, cap: str) -> int | None:
    """Return all GPUs that are there under a cap; None if no profile says so."""
    if definition.profile is None:
        return None
    per_node, nodes = _group_of(definition.caps[cap], definition.profile)
    return per_node * nodes


def _group_of(cap: Cap, profile: ClusterProfile) -> tuple[int, int]:
    """Return GPUs per node and nodes of the part of a partition that a cap is on."""
    partition = profile.partition(cap.partition)
    groups = [
        group
        for group in partition.groups
        if cap.gpu is None or any(name and may_be_same_gpu(cap.gpu, name) for name in (group.gpu, group.gres))
    ]
    if not groups:
        raise InputError(
            f"cap {_name(cap)}: partition {partition.name!r} has no GPU {cap.gpu!r}: it has {partition.label}"
        )
    return groups[0].gpus_per_node, groups[0].nodes
