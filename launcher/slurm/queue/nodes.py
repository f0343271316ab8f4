"""The nodes of a queue and their reservations, of what Slurm prints."""

import re
from collections.abc import Mapping

from ....estimator.queue.state import Node, Reservation
from ..nodes import parse_gpus
from ..text import parse_slurm_time_s
from .hostlist import expand_hostlist
from .jobs import parse_features

_NOT_UP = {"DOWN", "DRAIN", "DRAINING", "DRAINED", "FAIL", "FAILING", "MAINT", "NOT_RESPONDING", "INVAL", "UNKNOWN", "REBOOT_REQUESTED", "REBOOT_ISSUED", "POWERING_DOWN"}  # fmt: skip


def parse_queue_nodes(text: str) -> list[Node]:
    """Return the nodes of `scontrol --details --oneliner show node`.

    >>> line = "NodeName=n1 CPUAlloc=2 CPUTot=16 ActiveFeatures=a Gres=gpu:a100:8 GresUsed=gpu:a100:6(IDX:0-5)"
    >>> parse_queue_nodes(f"{line} RealMemory=64000 AllocMem=2000 State=MIXED Partitions=long")[0].used_gpus
    6
    """
    return [_node(pairs) for pairs in map(_pairs, text.splitlines()) if "NodeName" in pairs]


def _node(pairs: Mapping[str, str]) -> Node:
    def number(name: str) -> int:
        value = pairs.get(name, "")
        return int(value) if value.isdecimal() else 0

    used = sum(count for _, count in parse_gpus(pairs.get("GresUsed", "")))
    return Node(
        pairs["NodeName"],
        frozenset(filter(None, pairs.get("Partitions", "").split(","))),
        parse_gpus(pairs.get("Gres", "")),
        number("CPUEfctv") or number("CPUTot"),
        number("RealMemory"),
        is_up=_NOT_UP.isdisjoint(re.split(r"[+*~#!%$@^-]+", pairs.get("State", ""))),
        features=frozenset(parse_features(pairs.get("ActiveFeatures", "").replace(",", "&"))),
        used_gpus=used,
        used_cpus=number("CPUAlloc"),
        used_memory_mib=number("AllocMem"),
    )


def parse_reservations(text: str) -> list[Reservation]:
    """Return the reservations of `scontrol --oneliner show reservation` that keep nodes from other jobs.

    >>> parse_reservations("ReservationName=m StartTime=60 EndTime=90 Nodes=n[1-2] Flags=MAINT State=INACTIVE")[0].end_s
    90.0
    """
    return [
        Reservation(
            pairs["ReservationName"], start_s, end_s, frozenset(expand_hostlist(pairs.get("Nodes", "")))
        )
        for pairs in map(_pairs, text.splitlines())
        if "ReservationName" in pairs
        and (start_s := parse_slurm_time_s(pairs.get("StartTime", ""))) is not None
        and (end_s := parse_slurm_time_s(pairs.get("EndTime", ""))) is not None
    ]


def _pairs(line: str) -> dict[str, str]:
    """Return the words `Key=value` of a line; the first of each key, because reasons of administrators come last."""
    pairs: dict[str, str] = {}
    for word in line.split():
        key, equals, value = word.partition("=")
        if equals:
            pairs.setdefault(key, value)
    return pairs
