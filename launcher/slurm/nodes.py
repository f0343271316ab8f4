"""What Slurm's commands print of partitions, nodes and its settings, as frozen values; `client` asks for it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .text import parse_limit_s

_MIB = 2**20
NODE_FORMAT = "%N|%R|%T|%c|%m|%G"


@dataclass(frozen=True)
class PartitionFacts:
    """A partition's rules; `parse_limit_s` and `max_nodes`, of one job, are None where there is no limit."""

    name: str
    default: bool
    up: bool
    limit_s: float | None
    default_limit_s: float | None
    priority_tier: int
    preempt_mode: str
    max_nodes: int | None
    qos: str | None = None
    open_to_all: bool = True  # every group and account


@dataclass(frozen=True)
class NodeFacts:
    """One node; `gpus` maps the GRES type to how many, "" where Slurm knows no type."""

    name: str
    partitions: tuple[str, ...]
    state: str
    cpus: int
    memory_bytes: int
    gpus: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class SlurmSettings:
    """What of `scontrol show config` decides how a job fares."""

    version: str
    cluster: str
    requeue: bool
    max_array_size: int | None
    preempt_type: str
    enforces_limits: bool = False
    hides_jobs: bool = False  # those of other users


def parse_partitions(text: str) -> list[PartitionFacts]:
    """Return the partitions of `scontrol --oneliner show partition`.

    >>> parse_partitions("PartitionName=a Default=YES MaxTime=1-00:00:00 DefaultTime=NONE State=UP")[0].limit_s
    86400.0
    """
    return [
        PartitionFacts(
            name=pairs["PartitionName"],
            default=pairs.get("Default") == "YES",
            up=pairs.get("State") == "UP",
            limit_s=parse_limit_s(pairs.get("MaxTime", "")),
            default_limit_s=parse_limit_s(pairs.get("DefaultTime", "")),
            priority_tier=int(pairs.get("PriorityTier", "1")),
            preempt_mode=pairs.get("PreemptMode", ""),
            max_nodes=int(most) if (most := pairs.get("MaxNodes", "")).isdecimal() else None,
            open_to_all=all(pairs.get(who, "ALL") == "ALL" for who in ("AllowGroups", "AllowAccounts")),
            qos=qos if (qos := pairs.get("QoS")) not in ("N/A", "(null)") else None,
        )
        for pairs in (dict(_words(line)) for line in text.splitlines())
        if "PartitionName" in pairs
    ]


def parse_nodes(text: str) -> list[NodeFacts]:
    """Return the nodes of `sinfo --Node --format=NODE_FORMAT`, each once with all its partitions.

    >>> parse_nodes("n1|gpu|idle|16|64000|gpu:a100:4(S:0-1),shard:8")[0].gpus
    (('a100', 4),)
    """
    rows = [
        line.split("|", 5)
        for line in text.splitlines()
        if re.fullmatch(r"(?:[^|]+\|){3}\d+\|\d+\|.*", line)  # not a site's banner
    ]
    partitions: dict[str, list[str]] = {}
    for name, partition, *_ in rows:
        partitions.setdefault(name, []).append(partition)
    return [
        NodeFacts(
            name, tuple(sorted(partitions[name])), state, int(cpus), int(memory) * _MIB, parse_gpus(gres)
        )
        for name, _, state, cpus, memory, gres in {row[0]: row for row in rows}.values()
    ]


def parse_settings(text: str) -> SlurmSettings:
    """Return the settings of `scontrol show config`.

    >>> parse_settings("JobRequeue = 0\\nMaxArraySize = 1001").max_array_size
    1001
    """
    settings = {
        key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())
    }
    size = settings.get("MaxArraySize", "")
    return SlurmSettings(
        version=settings.get("SLURM_VERSION", ""),
        cluster=settings.get("ClusterName", ""),
        requeue=settings.get("JobRequeue", "1") != "0",
        max_array_size=int(size) if size.isdecimal() else None,
        preempt_type=settings.get("PreemptType", ""),
        enforces_limits=not {"limits", "safe"}.isdisjoint(
            settings.get("AccountingStorageEnforce", "").split(",")
        ),
        hides_jobs="jobs" in settings.get("PrivateData", "").split(","),
    )


def _words(line: str) -> Iterator[tuple[str, str]]:
    for word in line.split():
        key, equals, value = word.partition("=")
        if equals:
            yield key, value


def parse_gpus(gres: str) -> tuple[tuple[str, int], ...]:
    """Return the GPUs in a node's GRES, by type, "" where Slurm knows no type.

    >>> parse_gpus("gpu:a100:4(S:0-1),shard:8"), parse_gpus("gpu:2")
    ((('a100', 4),), (('', 2),))
    """
    counts: dict[str, int] = {}
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *kind, count = entry.split(":") if ":" in entry else (entry, "0")
        if name == "gpu" and count.isdecimal():
            key = ":".join(kind)
            counts[key] = counts.get(key, 0) + int(count)
    return tuple(counts.items())
