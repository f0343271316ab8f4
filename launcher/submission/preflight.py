"""What would make a job wait for ever, fail at its start or train otherwise than planned: found before it is queued.

Pure: `slurm.client` asked Slurm, and `machine.inspect_machine` looked at this machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ...cluster_profiles.gpu import Gpu
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_duration, join_names, plural
from ..command.processes.faults import CommandFault
from ..run_folder.owners.own_files import OPEN_REMEDY
from ..slurm.cluster import Cluster
from .fit.check import check_on_cluster, possible_gpus
from .machine import Machine
from .problem import Problem, refusal, warning
from .request import SlurmRequest

_EARLY_S = 60.0  # Slurm may send the warning so much before it is due (man sbatch)
_SANE_SHARE = 10  # a walltime is so many times its warning, or little is left to train in
_PATTERN = {"%", "\\"}  # of the files that Slurm writes (man sbatch, filename pattern)
_NODE_LOCAL = tuple(PurePath(folder) for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run"))  # noqa: S108  not written to


@dataclass(frozen=True)
class PreflightJob:
    """What is to run: the request, and what Slurm is not told.

    `checkpoint_s` is the time between checkpoints and `p95_s` the P95 of the whole run, None if they are unknown;
    `runs` share one array.  `lacks_torch`: torchrun would start the command, and its Python has none.
    `command_faults` are what the command would do with its GPUs that nobody wants.
    """

    request: SlurmRequest
    precision: Precision = Precision.AUTO
    gpu: Gpu | None = None
    checkpoint_s: float | None = None
    p95_s: float | None = None
    runs: int = 1
    lacks_torch: bool = False
    command_faults: tuple[CommandFault, ...] = ()


def find_problems(
    job: PreflightJob, machine: Machine, cluster: Cluster | None = None, shared_folders: Sequence[str] = ()
) -> list[Problem]:
    """Return everything that stands against `job`, refusals first; without a cluster only what holds anywhere.

    >>> request = SlurmRequest(nodes=2, gpus=16, signal_delay_s=90)
    >>> machine = Machine(None, None, None, Path("/tmp/runs"), None, None)
    >>> [(problem.code, problem.refuses) for problem in find_problems(PreflightJob(request), machine)]
    [('folder-not-shared', True)]
    """
    problems = [
        *_check_command(job, machine),
        *_check_folder(job, machine, shared_folders, on_slurm=cluster is not None),
        *_check_precision(job, cluster),
        *_check_walltime(job, cluster),
    ]
    if cluster:
        problems += check_on_cluster(job.request, job.runs, cluster)
    return sorted(problems, key=lambda problem: not problem.refuses)


def _check_command(job: PreflightJob, machine: Machine) -> Iterator[Problem]:
    if machine.command_fault:
        yield refusal("command-missing", machine.command_fault)
    elif machine.shell_fault:
        yield warning("shell", machine.shell_fault)
    if machine.entry_fault:
        yield refusal("entry", machine.entry_fault)
    if job.lacks_torch:
        yield refusal(
            "torchrun",
            f"{machine.python} has no torch, and several GPUs of a Python command are started by torchrun: "
            'install it there, or set bootstrap = "per-gpu" or "single" in [run]',
        )
    for fault in job.command_faults:
        yield Problem(fault.code, fault.text, refuses=fault.refuses)
    if machine.inside_job:
        yield warning(
            "inside-job",
            f"submitted from inside job {machine.inside_job}: the new job inherits nothing of its shape",
        )


def _check_folder(
    job: PreflightJob, machine: Machine, shared_folders: Sequence[str], *, on_slurm: bool
) -> Iterator[Problem]:
    folder, nodes = machine.folder, job.request.nodes
    if machine.folder_fault:
        yield refusal("folder", machine.folder_fault)
    elif on_slurm and set(str(folder)) & _PATTERN:
        remedy = "set CLUSTERPLAN_RUNS to one without"
        yield refusal("folder", f"{folder}: Slurm would take the % or \\ in it for a pattern: {remedy}")
    for open_folder in machine.open_folders:
        yield warning("folder-open", f"{open_folder}: {OPEN_REMEDY}")
    if (nodes > 1 or on_slurm) and not _is_shared(folder, shared_folders):
        where = f"one of {join_names(shared_folders)}" if shared_folders else "a folder that every node sees"
        if nodes > 1:
            text = f"{plural(nodes, 'node')} would not all see {folder}: set CLUSTERPLAN_RUNS to {where}"
        else:
            text = f"{folder} is probably local to this machine, and a job on another node would fail: set CLUSTERPLAN_RUNS to {where}"
        yield Problem("folder-not-shared", text, refuses=nodes > 1)


def _is_shared(folder: Path, shared_folders: Sequence[str]) -> bool:
    if shared_folders:
        return any(folder.is_relative_to(shared) for shared in shared_folders)
    return not any(folder.is_relative_to(local) for local in _NODE_LOCAL)


def _check_precision(job: PreflightJob, cluster: Cluster | None) -> Iterator[Problem]:
    """Yield a problem if no GPU that the job may land on has its precision."""
    gpus = [job.gpu] if job.gpu else possible_gpus(job.request, cluster) if cluster else []
    if not gpus or job.precision is Precision.AUTO or any(job.precision in gpu.peak_flops for gpu in gpus):
        return
    gpu = gpus[0]
    native = f"{gpu.best_precision()} is native there"
    if job.precision is Precision.BF16:
        yield warning("precision", f"bf16 is emulated on {gpu.name}, and slow: {native}")
    else:
        text = f"{gpu.name} has no {job.precision} hardware: {native}"
        # Accelerate falls back from fp8 to fp16 in silence; without tf32 a run is only slower than hoped.
        yield Problem("precision", text, refuses=job.precision is Precision.FP8)


def _check_walltime(job: PreflightJob, cluster: Cluster | None) -> Iterator[Problem]:
    request = job.request
    default_s = cluster.default_walltime_s(request.partition) if cluster else None
    walltime_s = request.walltime_s or default_s
    if walltime_s is None:
        return
    if job.checkpoint_s is not None and (request.segments or 1) > 1 and job.checkpoint_s >= walltime_s:
        yield warning(
            "checkpoint",
            f"a checkpoint every {format_duration(job.checkpoint_s)} comes after the limit of {format_duration(walltime_s)}: save more often",
        )
    warned_s = request.signal_delay_s + _EARLY_S
    ends_before = job.p95_s is not None and job.p95_s + warned_s <= walltime_s
    if cluster and walltime_s < _SANE_SHARE * warned_s and not ends_before:
        kept = f"up to {format_duration(warned_s)} of it" if warned_s < walltime_s else "all of it"
        enough_s = _SANE_SHARE * warned_s
        limit_s = cluster.longest_walltime_s(request.partition, dict(request.further))
        remedy = (
            f": use --time {format_duration(enough_s)} or more"
            if limit_s is None or enough_s <= limit_s
            else ""
        )
        yield warning(
            "signal",
            f"with a limit of {format_duration(walltime_s)}, {kept} may be kept for saving{remedy}",
        )
