"""Whether a request fits the memory of the nodes that have its GPUs.  Pure."""

from collections.abc import Iterator, Sequence

from ...slurm.nodes import NodeFacts
from ...slurm.text import parse_memory_mib
from ..problem import Problem, refusal
from ..request import SlurmRequest

_MIB, _MIB_PER_GIB = 2**20, 2**10


def check_memory(request: SlurmRequest, partition: str, nodes: Sequence[NodeFacts]) -> Iterator[Problem]:
    """Yield a refusal if none of the `nodes`, which have the GPUs, has the memory: sbatch refuses it with no number.

    `mem=0` is all that a node has (man sbatch).
    """
    most_mib = max((node.memory_bytes // _MIB for node in nodes), default=0)
    options = dict(request.further)
    cpus = options.get("cpus-per-task", 1)
    times = {
        "mem": 1,
        "mem-per-gpu": request.gpus_per_node,
        "mem-per-cpu": request.tasks_per_node * (int(cpus) if str(cpus).isdecimal() else 1),
    }
    for name, count in times.items():
        wanted_mib = parse_memory_mib(str(options.get(name, "")))
        if wanted_mib and most_mib and wanted_mib * count > most_mib:
            what = "" if count == 1 else f" for {count:,} {name.rpartition('-')[2].upper()}s of a node"
            largest = most_mib // count
            shown = f"{largest // _MIB_PER_GIB}G" if largest >= _MIB_PER_GIB else f"{largest}M"
            yield refusal(
                "memory",
                f"{name}={options[name]}{what} is more than a node of partition {partition!r} has: "
                f"give at most {name}={shown}, or mem=0 for all of it",
            )
