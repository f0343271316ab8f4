"""What would make a job wait for ever, fail at its start or train otherwise than asked: found before it is queued.

Pure: Slurm was asked by `slurm.cluster`, and the machine looked at by `surroundings.look`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ...cluster_profiles.gpu import Gpu, match_gpus
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_duration, join_names, plural
from ..slurm.cluster import Cluster
from ..slurm.nodes import NodeFacts, PartitionFacts
from ..slurm.text import parse_limit_s
from .machine import Machine
from .request import SlurmRequest

_EARLY_S = 60.0  # Slurm may send the warning so much before it is due (man sbatch)
_SANE_SHARE = 10  # a walltime is so many times its warning, or little is left to train in
_PATTERN = {"%", "\\"}  # of the files that Slurm writes (man sbatch, filename pattern)
_NODE_LOCAL = tuple(PurePath(folder) for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run"))  # noqa: S108  not written to

CODES = {
    "command-missing": "The command is not found, or cannot be started.",
    "shell": "A word such as > or && is the shell's, and commands are started without one.",
    "entry": "The command's Python file or shell script is not there, or the Python does not compile.",
    "torchrun": "The command's Python has no torch, whose torchrun would start it.",
    "node-alone": "The command's launcher is told of no other node, so each would train by itself.",
    "folder": "No run can be kept in the folder.",
    "folder-not-shared": "Nodes of the job would not see the run's folder.",
    "partition": "The partition does not exist.",
    "partition-down": "The partition takes no jobs now.",
    "time-limit": "The walltime is above the partition's limit: Slurm would let the job wait for ever.",
    "gpu-type": "The partition has no GPUs of that type.",
    "gpu-count": "No node of the partition has so many of those GPUs.",
    "nodes": "The partition has fewer such nodes, or gives a job fewer: Slurm would let it wait for ever.",
    "precision": "The GPU has no hardware for that precision.",
    "checkpoint": "A job under the limit would end before its first checkpoint.",
    "signal": "The warning before the limit takes much of the walltime.",
    "requeue": "The job may not be put back into the queue.",
    "inside-job": "It is submitted from inside a job.",
    "array": "Slurm takes no array so large.",
}


@dataclass(frozen=True)
class Problem:
    """One line for the user; `code` is stable.  A job is not submitted while one `refuses`."""

    code: str
    text: str
    refuses: bool


@dataclass(frozen=True)
class Job:
    """What is to run: the request, and what Slurm is not told.

    `checkpoint_s` is the time between checkpoints and `p95_s` the P95 of the whole run, None if they are unknown;
    `runs` share one array; `lacks_torch` says that torchrun would start it and its Python has none, and
    `alone_on_its_node` what a launcher in the command lacks to know of other nodes.
    """

    request: SlurmRequest
    precision: Precision = Precision.AUTO
    gpu: Gpu | None = None
    checkpoint_s: float | None = None
    p95_s: float | None = None
    segments: int | None = None
    runs: int = 1
    lacks_torch: bool = False
    alone_on_its_node: str | None = None


def find_problems(
    job: Job, here: Machine, cluster: Cluster | None = None, shared_folders: Sequence[str] = ()
) -> list[Problem]:
    """Everything that stands against `job`, what refuses it first; without a cluster only what holds anywhere.

    >>> request = SlurmRequest(nodes=2, gpus=16, signal_delay_s=90)
    >>> here = Machine(None, None, None, Path("/tmp/runs"), None, None)
    >>> [(f.code, f.refuses) for f in find_problems(Job(request), here)]
    [('folder-not-shared', True)]
    """
    found = [*_command(job, here), *_folder(job, here, shared_folders, on_slurm=cluster is not None)]
    found += _training(job, cluster)
    if cluster:
        found += _on(job, cluster)
    return sorted(found, key=lambda finding: not finding.refuses)


def _refusal(code: str, text: str) -> Problem:
    return Problem(code, text, refuses=True)


def _warning(code: str, text: str) -> Problem:
    return Problem(code, text, refuses=False)


def _command(job: Job, here: Machine) -> Iterator[Problem]:
    if here.command_fault:
        yield _refusal("command-missing", here.command_fault)
    elif here.shell_fault:
        yield _warning("shell", here.shell_fault)
    if here.entry_fault:
        yield _refusal("entry", here.entry_fault)
    if job.lacks_torch:
        yield _refusal(
            "torchrun",
            f"{here.python} has no torch, and several GPUs of a Python command are started by torchrun: "
            'install it there, or set bootstrap = "per-gpu" or "single" in [run]',
        )
    if job.alone_on_its_node and job.request.nodes > 1:
        yield _warning(
            "node-alone",
            f"{job.alone_on_its_node} trains on each of {plural(job.request.nodes, 'node')} by itself: leave "
            "it out of the command, and it is started over all of them",
        )
    if here.inside_job:
        yield _warning(
            "inside-job", f"submitted from inside job {here.inside_job}: nothing of its shape is passed on"
        )


def _folder(job: Job, here: Machine, shared_folders: Sequence[str], *, on_slurm: bool) -> Iterator[Problem]:
    if here.folder_fault:
        yield _refusal("folder", here.folder_fault)
    elif on_slurm and set(str(here.folder)) & _PATTERN:
        right = "set CLUSTERPLAN_RUNS to one without"
        yield _refusal("folder", f"{here.folder}: Slurm would take the % or \\ in it for a pattern: {right}")
    nodes = job.request.nodes
    if (nodes > 1 or on_slurm) and not _shared(here.folder, shared_folders):
        where = f"one of {join_names(shared_folders)}" if shared_folders else "a folder that every node sees"
        if nodes > 1:
            text = f"{plural(nodes, 'node')} would not all see {here.folder}: set CLUSTERPLAN_RUNS to {where}"
        else:
            text = f"a node other than this one would not see {here.folder}, and the job would fail there: set CLUSTERPLAN_RUNS to {where}"
        yield Problem("folder-not-shared", text, refuses=nodes > 1)


def _training(job: Job, cluster: Cluster | None) -> Iterator[Problem]:
    request = job.request
    lacking = _lacking(job, cluster)
    if lacking and job.precision is Precision.BF16:
        yield _warning(
            "precision",
            f"bf16 is emulated on {lacking.name}, and slow: {lacking.best_precision()} is native there",
        )
    elif lacking:
        text = f"{lacking.name} has no {job.precision} hardware: {lacking.best_precision()} is native there"
        # Accelerate falls back from fp8 to fp16 in silence; without tf32 a run is only slower than hoped.
        yield _refusal("precision", text) if job.precision is Precision.FP8 else _warning("precision", text)
    default_s = cluster.default_walltime_s(request.partition) if cluster else None
    walltime_s = parse_limit_s(request.time) if request.time else default_s
    if walltime_s is None:
        return
    if job.checkpoint_s is not None and (job.segments or 1) > 1 and job.checkpoint_s >= walltime_s:
        yield _warning(
            "checkpoint",
            f"a checkpoint every {format_duration(job.checkpoint_s)} comes after the limit of {format_duration(walltime_s)}: save more often",
        )
    warned_s = request.signal_delay_s + _EARLY_S
    ends_before = job.p95_s is not None and job.p95_s + warned_s <= walltime_s
    if cluster and walltime_s < _SANE_SHARE * warned_s and not ends_before:
        when = (
            f"up to {format_duration(warned_s)} before its {format_duration(walltime_s)} are over"
            if warned_s < walltime_s
            else f"from the start of its {format_duration(walltime_s)}"
        )
        yield _warning(
            "signal",
            f"Slurm may tell the run to save {when}: "
            f"a walltime from {format_duration(_SANE_SHARE * warned_s)} on loses little to that",
        )


def _on(job: Job, cluster: Cluster) -> Iterator[Problem]:
    request = job.request
    most = cluster.settings.max_array_size
    if most is not None and job.runs > most:
        yield _refusal("array", f"{job.runs:,} runs are more than an array of Slurm holds here: {most:,}")
    if not request.requeue:
        # --requeue wins over JobRequeue=0, so only the request forbids it.
        yield _warning("requeue", "not to be requeued: at a limit or a failure a successor job is submitted")
    partition = cluster.partition(request.partition)
    if partition is None:
        there = join_names(p.name for p in cluster.partitions)
        wrong = (
            f"partition {request.partition!r} is not there"
            if request.partition
            else "there is no default partition"
        )
        yield _refusal("partition", f"{wrong}: say one of {there}")
        return
    if not partition.up:
        yield _warning("partition-down", f"partition {partition.name!r} is not up: the job waits until it is")
    walltime_s = parse_limit_s(request.time or "")
    if walltime_s is not None and partition.limit_s is not None and walltime_s > partition.limit_s:
        yield _refusal(
            "time-limit",
            f"a walltime of {format_duration(walltime_s)} is above the limit of partition {partition.name!r}, {format_duration(partition.limit_s)}: the job would wait for ever",
        )
    yield from _machines(request, partition, cluster.nodes_of(partition.name))


def _machines(
    request: SlurmRequest, partition: PartitionFacts, nodes: Sequence[NodeFacts]
) -> Iterator[Problem]:
    gres, gpus = request.gres, request.gpus_per_node
    where = f"partition {partition.name!r}"
    kinds = dict.fromkeys(kind for node in nodes for kind, _ in node.gpus)
    if gpus and (not kinds or (gres and gres not in kinds)):
        has = f"has {join_names(kind or 'untyped ones' for kind in kinds)}" if kinds else "has none"
        yield _refusal("gpu-type", f"GPUs {gres + ' ' if gres else ''}are asked for, and {where} {has}")
        return
    most = max((_gpus(node, gres) for node in nodes), default=0)
    if gpus > most:
        yield _refusal("gpu-count", f"{plural(gpus, 'GPU')} a node: those of {where} have {most}")
        return
    if partition.max_nodes is not None and request.nodes > partition.max_nodes:
        yield _refusal(
            "nodes", f"{plural(request.nodes, 'node')}: {where} gives a job {partition.max_nodes} at most"
        )
        return
    fitting = sum(_gpus(node, gres) >= gpus for node in nodes)
    if request.nodes > fitting:
        yield _refusal("nodes", f"{plural(request.nodes, 'node')}: {where} has {fitting} of that kind")


def _lacking(job: Job, cluster: Cluster | None) -> Gpu | None:
    """A GPU the job may land on, if none that it may land on has its precision."""
    may_be = [job.gpu] if job.gpu else _gpus_of(job.request, cluster) if cluster else []
    if job.precision is Precision.AUTO or any(job.precision in gpu.peak_flops for gpu in may_be):
        return None
    return may_be[0] if may_be else None


def _gpus_of(request: SlurmRequest, cluster: Cluster) -> list[Gpu]:
    partition = cluster.partition(request.partition)
    kinds = (
        {kind for node in cluster.nodes_of(partition.name) for kind, _ in node.gpus} if partition else set()
    )
    names = [request.gres] if request.gres else sorted(kinds)
    models = [match_gpus(name) for name in names if name]
    # A type that is not in the catalogue may have every precision.
    return [gpu for found in models for gpu in found] if all(models) else []


def _gpus(node: NodeFacts, gres: str | None) -> int:
    return sum(count for kind, count in node.gpus if not gres or kind == gres)


def _shared(folder: Path, shared_folders: Sequence[str]) -> bool:
    if shared_folders:
        return any(folder.is_relative_to(shared) for shared in shared_folders)
    return not any(folder.is_relative_to(local) for local in _NODE_LOCAL)
