"""The option of sbatch that asks for twice the memory that a job had: pure."""

import math
import re
from collections.abc import Mapping

_PER_DEVICE = ("mem-per-cpu", "mem-per-gpu")  # sbatch(1) takes one of these and --mem
_SIZE = re.compile(r"(\d+)([KMGT]?)B?", re.IGNORECASE)
_ALL = "mem=0"  # "a memory size specification of zero ... grants the job access to all of the memory on each node"
_MIB_PER_GIB = 1024


def double_memory(options: Mapping[str, object], memory_mib: int | None) -> str:
    """Return KEY=VALUE for `--slurm`; all the memory of a node if it is not known how much the job had.

    `options` are the job's own, and `memory_mib` is what Slurm gave it on a node.

    >>> double_memory({}, 5000), double_memory({"mem-per-cpu": "4G"}, 5000), double_memory({}, None)
    ('mem=10G', 'mem-per-cpu=8G', 'mem=0')
    """
    for name in _PER_DEVICE:
        if name in options and (size := _SIZE.fullmatch(str(options[name]))):
            return f"{name}={2 * int(size[1])}{size[2]}"
    return f"mem={math.ceil(2 * memory_mib / _MIB_PER_GIB)}G" if memory_mib else _ALL
