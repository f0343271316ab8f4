"""The jobs of the queue and of the accounting, as squeue and sacct print them, as the values of `estimator.queue`; `reader` asks for it.

Texts are those of Slurm 20.11 to 25.11 with LC_ALL=C and times in Unix seconds.  GPUs are spelled `gres:gpu:a100:2`,
`gpu:2`, `gres/gpu:a100=2` or `gres/gpu=2`, by the version and by how they were asked for.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from ....cluster_profiles.units import MINUTE_S, ceil_div
from ....estimator.queue.limit_use import EndedJob
from ....estimator.queue.state import PendingJob, Request, RunningJob
from ..text import parse_limit_s, parse_slurm_time_s
from .hostlist import expand_hostlist

# Each field ends with a bar, and is as wide as its value; no field holds text that users choose freely.
_FIELDS = (
    "JobArrayID",
    "State",
    "Partition",
    "PriorityLong",
    "NumNodes",
    "NumCPUs",
    "NumTasks",
    "MinMemory",
    "tres-per-node",
    "tres-per-job",
    "tres-per-task",
    "tres-alloc",
    "TimeLimit",
    "StartTime",
    "EligibleTime",
    "SubmitTime",
    "UserName",
    "NodeList",
    "ReqNodes",
    "Feature",
    "Reservation",
    "OverSubscribe",
    "Dependency",
    "Reason",
)
QUEUE_FIELDS = ",".join(f"{name}:|" for name in _FIELDS)
USE_FIELDS = "User,Elapsed,Timelimit"
_HOLDING = ("RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT")
_BLOCKED = re.compile(
    r"JobHeld|JobHold|held|QOS|Assoc|Licenses|Never|BadConstraints|PartitionDown|PartitionInactive|Invalid|Prolog"
)
_GPU = re.compile(r"(?:^|[,/:])gpu(?::(?P<type>[A-Za-z_][\w.-]*))?(?:[:=](?P<count>\d+))?(?=$|[,(])")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)([cn]?)")
_MIB = {"K": 2**-10, "": 1, "M": 1, "G": 2**10, "T": 2**20}
_AFTER = re.compile(r"after\w*:(\d+(?:_\d+)?)")

Row = Mapping[str, str]


def parse_running(text: str) -> list[RunningJob]:
    """Return the jobs that hold nodes, of `squeue --Format=QUEUE_FIELDS`."""
    return [
        RunningJob(row["JobArrayID"], row["UserName"], _request(row), nodes, start_s)
        for row in _rows(text)
        if row["State"] in _HOLDING
        and (start_s := parse_slurm_time_s(row["StartTime"])) is not None
        and (nodes := tuple(expand_hostlist(row["NodeList"])))
    ]


def parse_pending(text: str) -> list[PendingJob]:
    """Return the jobs that wait for nodes, of `squeue --Format=QUEUE_FIELDS`."""
    return [_pending(row) for row in _rows(text) if row["State"] == "PENDING"]


def _rows(text: str) -> Iterator[Row]:
    for line in text.splitlines():
        values = line.split("|")
        if len(values) == len(_FIELDS) + 1 and values[0][:1].isdecimal():  # not a site's banner
            yield dict(zip(_FIELDS, values, strict=False))


def _pending(row: Row) -> PendingJob:
    job_id, elements, at_once = _parse_array(row["JobArrayID"])
    priority = row["PriorityLong"]
    return PendingJob(
        job_id,
        row["UserName"],
        _request(row),
        float(priority) if priority.isdecimal() else 0.0,
        parse_slurm_time_s(row["SubmitTime"]) or 0.0,
        earliest_s=parse_slurm_time_s(row["EligibleTime"]) or 0.0,
        after=tuple(_AFTER.findall(row["Dependency"])),
        is_blocked=priority == "0" or _BLOCKED.search(row["Reason"]) is not None,
        count=elements,
        at_once=at_once,
    )


def _parse_array(text: str) -> tuple[str, int, int | None]:
    """Return the id of a job, the elements of an array that are meant, and how many of them may run at once.

    >>> _parse_array("6_[0-9%2]"), _parse_array("6_[1,4-8:2]"), _parse_array("7_3"), _parse_array("6_[1-3,...]")
    (('6', 10, 2), ('6', 4, None), ('7_3', 1, None), ('6', 4, None))
    """
    match = re.fullmatch(r"(\d+)_\[([^\]%]*)(?:%(\d+))?\]?", text)
    if not match:
        return text, 1, None
    count = 0
    for part in match[2].split(","):
        first, _, last = part.partition("-")
        end, _, step = last.partition(":")
        numbers = first.isdecimal() and end.isdecimal()
        count += (int(end) - int(first)) // int(step or 1) + 1 if numbers else 1
    return match[1], count, int(match[3]) if match[3] else None


def _request(row: Row) -> Request:
    nodes = max(int(first) if (first := row["NumNodes"].partition("-")[0]).isdecimal() else 1, 1)
    cpus = int(row["NumCPUs"]) if row["NumCPUs"].isdecimal() else nodes
    tasks = int(row["NumTasks"]) if row["NumTasks"].isdecimal() else 1
    gpus, gpu_type = _gpus_per_node(row, nodes, tasks)
    per_node_cpus = ceil_div(cpus, nodes)
    reservation = row["Reservation"]
    limit_s = parse_limit_s(row["TimeLimit"])
    return Request(
        nodes=nodes,
        gpus=gpus,
        limit_s=math.inf if limit_s is None else max(limit_s, MINUTE_S),
        partitions=tuple(row["Partition"].split(",")),
        gpu_type=gpu_type,
        cpus=per_node_cpus,
        memory_mib=parse_memory_mib(row["MinMemory"], per_node_cpus),
        exclusive=row["OverSubscribe"] in ("NO", "EXCLUSIVE"),
        only_nodes=frozenset(expand_hostlist(row["ReqNodes"])),
        features=frozenset(parse_features(row["Feature"])),
        reservation="" if reservation in ("(null)", "N/A") else reservation,
    )


def _gpus_per_node(row: Row, nodes: int, tasks: int) -> tuple[int, str]:
    """Return the GPUs on each node, and their type: as asked for, otherwise what Slurm counts for the job."""
    for name, nodes_per_unit, times in (
        ("tres-per-node", 1, 1),
        ("tres-per-job", nodes, 1),
        ("tres-per-task", nodes, tasks),
        ("tres-alloc", nodes, 1),
    ):
        counts = parse_gpu_request(row[name])
        if counts:
            types = [kind for kind in counts if kind]
            total = counts[""] if "" in counts else sum(counts.values())
            return ceil_div(total * times, nodes_per_unit), types[0] if len(types) == 1 else ""
    return 0, ""


def parse_gpu_request(text: str) -> dict[str, int]:
    """Return the GPUs of a request by type, "" for those of no stated type.

    >>> [parse_gpu_request(text) for text in ("gres:gpu:a100:2", "gpu:2", "gres/gpu:a100=2", "cpu=4,gres/gpu=8", "N/A")]
    [{'a100': 2}, {'': 2}, {'a100': 2}, {'': 8}, {}]
    >>> parse_gpu_request("gres:gpu"), parse_gpu_request("gres/gpu=8,gres/gpu:a100=8")
    ({'': 1}, {'': 8, 'a100': 8})
    """
    counts: dict[str, int] = {}
    for match in _GPU.finditer(text):
        kind = match["type"] or ""
        counts[kind] = counts.get(kind, 0) + int(match["count"] or 1)
    return counts


def parse_memory_mib(text: str, cpus: int) -> int:
    """Return the MiB of a node: squeue prints them for a node, or with a `c` for each CPU.

    >>> parse_memory_mib("32G", 4), parse_memory_mib("1000Mc", 4), parse_memory_mib("0", 4)
    (32768, 4000, 0)
    """
    match = _MEMORY.fullmatch(text)
    if not match:
        return 0
    return int(float(match[1]) * _MIB[match[2]] * (cpus if match[3] == "c" else 1))


def parse_features(text: str) -> list[str]:
    """Return the features that a node must have; of alternatives none: any node may have one."""
    if text in ("(null)", "N/A", "") or re.search(r"[|\[\]()*!]", text):
        return []
    return text.split("&")


def parse_limit_use(text: str) -> Iterable[EndedJob]:
    """Yield the ended jobs of `sacct --parsable2 --format=USE_FIELDS` that had a limit.

    >>> list(parse_limit_use("ann|00:10:00|01:00:00\\nbob|1-00:00:00|UNLIMITED"))
    [EndedJob(user='ann', elapsed_s=600.0, limit_s=3600.0)]
    """
    for line in text.splitlines():
        if line.count("|") == USE_FIELDS.count(","):
            user, elapsed, limit = line.split("|")
            elapsed_s, limit_s = parse_limit_s(elapsed), parse_limit_s(limit)
            if elapsed_s is not None and limit_s:
                yield EndedJob(user, elapsed_s, limit_s)
