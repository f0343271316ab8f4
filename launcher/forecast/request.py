"""What a job of ours asks the queue for, as far as its options say it."""

import math
from collections.abc import Mapping

from ...estimator.queue.state import QueueState, Request, Rules
from ..slurm.queue.hostlist import expand_hostlist
from ..slurm.queue.jobs import parse_features, parse_memory_mib
from ..slurm.text import parse_limit_s
from ..submission.request import OptionValue, SlurmRequest


def queue_request(request: SlurmRequest, state: QueueState) -> Request:
    """Return what `request` needs on each node; where it names no partition or time, those of the cluster hold."""
    options = dict(request.further)
    partition = request.partition if request.partition in state.partitions else None
    partitions = tuple((partition or request.partition or state.default_partition).split(","))
    cpus, gpus = _cpus(request, options), request.gpus_per_node
    return Request(
        nodes=request.nodes,
        gpus=gpus,
        limit_s=request.walltime_s or _default_limit_s(state, partitions),
        partitions=partitions,
        gpu_type=request.gres or "",
        cpus=cpus,
        memory_mib=_memory_mib(options, cpus, gpus),
        exclusive=options.get("exclusive", False) is not False,
        time_min_s=parse_limit_s(request.time_min) if request.time_min else None,
        only_nodes=frozenset(expand_hostlist(str(options.get("nodelist", "")))),
        features=frozenset(parse_features(str(options.get("constraint", "")))),
        reservation=str(options.get("reservation", "")),
    )


def _cpus(request: SlurmRequest, options: Mapping[str, OptionValue]) -> int:
    if per_gpu := _number(options, "cpus-per-gpu"):
        return per_gpu * request.gpus_per_node
    return request.tasks_per_node * (_number(options, "cpus-per-task") or 1)


def _memory_mib(options: Mapping[str, OptionValue], cpus: int, gpus: int) -> int:
    for name, times in (("mem", 1), ("mem-per-gpu", gpus), ("mem-per-cpu", cpus)):
        if name in options:
            return parse_memory_mib(str(options[name]).upper().removesuffix("B"), cpus) * times
    return 0


def _number(options: Mapping[str, OptionValue], name: str) -> int:
    value = str(options.get(name, ""))
    return int(value) if value.isdecimal() else 0


def _default_limit_s(state: QueueState, partitions: tuple[str, ...]) -> float:
    rules = [state.partitions.get(name, Rules()) for name in partitions]
    limits = [each.default_limit_s or each.limit_s for each in rules]
    return min((limit for limit in limits if limit), default=math.inf)


def find_obstacle(request: Request, state: QueueState) -> str | None:
    """Return why no partition lets the request in, whoever else waits; None if one does."""
    obstacles = []
    for name in request.partitions:
        rules = state.partitions.get(name)
        if rules is None:
            obstacles.append(
                f"there is no partition {name!r}" if name else "Slurm has no default partition: name one"
            )
        elif not rules.is_up:
            obstacles.append(f"partition {name!r} is down")
        elif rules.max_nodes and request.nodes > rules.max_nodes:
            obstacles.append(f"partition {name!r} gives a job at most {rules.max_nodes} nodes")
        else:
            return None
    return "; ".join(obstacles)
