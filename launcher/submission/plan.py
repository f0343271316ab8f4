"""From a job file to what is submitted: the command of every run, and the request.  Pure; every choice is said."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ...cluster_profiles.units import format_duration, plural
from ...errors import WorkloadError
from ...estimator.estimate.estimate import Estimate
from ...estimator.job.placement import Placement, is_uneven
from ...estimator.job.run import Bootstrap, Run
from ...estimator.job.training import Framework
from ...estimator.job.workload import Workload
from ..command.deepspeed import with_config
from ..command.flags import flag_value, takes_no_flags
from ..command.launchers import choose_bootstrap, reaches_other_nodes, tasks_per_node
from ..command.placeholders import LATEST, fill_placeholders, placeholder_names
from ..command.precision import TRAINERS, precision_settings
from ..run_folder.folder import DEEPSPEED_FILE
from ..run_folder.launch import Launch
from .request import SlurmRequest, decide_request
from .sweep import check_reached

_OUTPUT = "output"  # the folder in a run's own where its checkpoints go, unless the job file says another


@dataclass(frozen=True)
class Plan:
    """Runs to submit together: one launch for each, `values` of the sweep it stands for, and what was decided."""

    launches: tuple[Launch, ...]
    values: tuple[Mapping[str, str], ...]
    request: SlurmRequest
    said: tuple[str, ...]
    deepspeed_config: Mapping[str, Any] | None = None  # for each run's own file


def plan(
    workload: Workload,
    placement: Placement,
    estimate: Estimate | None,
    *,
    command: Sequence[str],
    folders: Sequence[str],
    swept: Sequence[Mapping[str, str]],
    cwd: str,
    time_s: float | None,
    default_s: float | None,
    requeue: bool,
    parallel: int | None,
    on_slurm: bool,
    standing: Mapping[str, str] | None = None,
    deepspeed_config: str | None = None,
    trainer_saves: bool = False,
) -> Plan:
    """What is submitted for `workload` as placed, in the run folders given.

    `trainer_saves` is whether the Trainer that the command uses knows --enable_jit_checkpoint, and `default_s` the
    walltime of a job that asks for none; `standing` are options of sbatch for where the job file has none.
    Without an estimate no interval of checkpoints is known, and no walltime but `time_s`.  Raises WorkloadError.
    """
    run = workload.run or Run(command=tuple(command))
    run = run.model_copy(update={"command": tuple(command)}) if command else run
    training = workload.training
    stated = training.framework if "framework" in training.model_fields_set else None
    settings = precision_settings(training.precision, stated, placement.may_be, run.command, deepspeed_config)
    bootstrap = choose_bootstrap(run.command, stated, placement.gpus, run.bootstrap)
    words, saving = _saving(settings.command, stated, workload.checkpoint.every_steps, estimate)
    words, stopping = _stopping(words, stated) if trainer_saves else (words, [])
    said = [settings.said, *saving, *stopping, _bootstrap_said(bootstrap, placement, run.command)]
    environment = {**settings.environment, **_shape(placement, workload)}
    if fault := is_uneven(workload, placement):
        raise WorkloadError(fault)
    request = decide_request(
        workload,
        placement,
        estimate if on_slurm else None,
        name=workload.name or PurePath(run.command[0]).name,
        tasks_per_node=1
        if reaches_other_nodes(run.command)
        else tasks_per_node(bootstrap, placement.gpus_per_node),
        walltime_s=time_s,
        default_walltime_s=default_s,
        requeue=requeue,
        parallel=parallel,
        standing=standing,
    )
    walltime_s = time_s or default_s
    delay_s = request.signal_delay_s
    grace_s = max(delay_s - 5.0, 5.0)
    stop = run.stop_signal or ("SIGUSR1" if stated is Framework.LIGHTNING and on_slurm else "SIGTERM")
    check_reached(swept, (*run.command, *run.resume))
    launches = []
    for folder, values in zip(folders, swept, strict=True):
        output = _output(workload.checkpoint.folder, folder, cwd, alone=not values)
        known = {
            "batch_size": training.batch_size,
            "accumulation": training.accumulation,
            "gpus": placement.gpus,
            "nodes": placement.nodes,
            "precision": placement.precision,
            "output": output,
            **({"max_steps": estimate.steps.total} if estimate else {}),
            **values,
        }
        own = words if settings.config is None else with_config(words, f"{folder}/{DEEPSPEED_FILE}")
        launches.append(
            Launch(
                command=fill_placeholders(own, known),
                resume=fill_placeholders(run.resume, known, later=[LATEST]),
                cwd=cwd,
                environment=environment,
                bootstrap=bootstrap,
                nodes=placement.nodes,
                gpus=placement.gpus,
                output=output,
                stop_signal=stop,
                grace_s=grace_s,
                max_restarts=run.max_restarts,
            )
        )
    inherited = {n: v for n, v in (standing or {}).items() if n not in dict(workload.slurm)}
    said += [f"--{name}={value}, as SBATCH_{name.upper()} says" for name, value in inherited.items()]
    if request.time_min:
        said.append(
            f"Slurm may shorten that to {request.time_min} if it can start sooner; the run goes on afterwards"
        )
    if walltime_s and on_slurm:
        whose = "its" if time_s else "the partition's"
        said.append(
            f"warned {delay_s} s before {whose} limit of {format_duration(walltime_s)}, to save and go on"
        )
    elif time_s:
        said.append(
            f"told to save and end {grace_s:g} s before its {format_duration(time_s)} are over, counted from when it has "
            "its GPUs; nothing starts it again then"
        )
    return Plan(tuple(launches), tuple(swept), request, tuple(said), settings.config)


def _output(given: str | None, folder: str, cwd: str, *, alone: bool) -> str:
    """Where a run's checkpoints go, from any folder; runs of a sweep must not resume from one another's."""
    if given is None:
        return f"{folder}/{_OUTPUT}"
    return str(PurePath(cwd, given) if alone else PurePath(cwd, given, PurePath(folder).name))


def _saving(
    command: tuple[str, ...], framework: Framework | None, every: int | None, estimate: Estimate | None
) -> tuple[tuple[str, ...], list[str]]:
    """For a Trainer that would save at its default interval: that of the job file, else the recommended one."""
    if framework not in TRAINERS or every == 0:
        return command, []
    if takes_no_flags(command) or any(
        flag_value(command, flag) for flag in ("--save_steps", "--save_strategy")
    ):
        return command, []
    said = "as checkpoint.every_steps says"
    if every is None:
        interval = estimate.clock.checkpoint_interval if estimate else None
        if estimate is None or interval is None:
            return command, []
        # Trainer writes none at its end by itself.
        every, said = min(interval.steps, estimate.steps.total), "the interval that loses least"
    added = ("--save_strategy", "steps", "--save_steps", str(every))
    return (*command, *added), [f"checkpoints: {' '.join(added)} added, {said}"]


def _stopping(command: tuple[str, ...], framework: Framework | None) -> tuple[tuple[str, ...], list[str]]:
    """For a Trainer that would lose the steps since its last checkpoint when it is told to stop."""
    flag = "--enable_jit_checkpoint"
    if framework not in TRAINERS or takes_no_flags(command) or flag_value(command, flag) is not None:
        return command, []
    return (*command, flag), [f"saving when it is stopped: {flag} added"]


def _bootstrap_said(bootstrap: Bootstrap, placement: Placement, command: tuple[str, ...]) -> str:
    if bootstrap is Bootstrap.TORCHRUN:
        return f"torchrun starts a process for each of {plural(placement.gpus_per_node, 'GPU')} of a node"
    if bootstrap is Bootstrap.PER_GPU:
        return "one task a GPU, with RANK, WORLD_SIZE, LOCAL_RANK and MASTER_ADDR set"
    if placement.gpus > 1 and not reaches_other_nodes(command):
        return "one task a node, which runs the command as it is"
    return "one task runs the command as it is"


def _shape(placement: Placement, workload: Workload) -> dict[str, str]:
    training = workload.training
    known = {
        "CLUSTERPLAN_BATCH_SIZE": training.batch_size,
        "CLUSTERPLAN_ACCUMULATION": training.accumulation,
        "CLUSTERPLAN_GPUS": placement.gpus,
        "CLUSTERPLAN_NODES": placement.nodes,
    }
    return {name: str(value) for name, value in known.items()}


def reaches(run: Run, flagged: Collection[str]) -> None:
    """That flags which change the job file's numbers reach its command.  Raises WorkloadError.

    >>> reaches(Run(command=("python", "train.py", "{batch_size}")), ["batch_size", "gpus"])
    """
    there = placeholder_names((*run.command, *run.resume))
    for flag, name in (
        ("batch_size", "batch_size"),
        ("accumulation", "accumulation"),
        ("epochs", "max_steps"),
    ):
        if flag in flagged and name not in there:
            raise WorkloadError(
                f"--{flag.replace('_', '-')}: the command has no placeholder {{{name}}}, so it would train with its own: "
                "put it in"
            )
