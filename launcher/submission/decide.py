"""From a job to what is submitted: its command, how it is started and stopped, its request, and notes on each choice.

Pure, and called once per submission; `lay_out` then makes the launch of each run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import WorkloadError
from ...estimator.job.framework import TRAINERS, Bootstrap, Framework
from ...estimator.job.given import CheckpointPlan
from ...estimator.job.placement import is_uneven
from ...estimator.job.run import RunOptions
from ...estimator.job.workload import Workload
from ..command.container import Container
from ..command.job_values import check_values_are_known, placeholder_values, shape_variables
from ..command.launchers import choose_bootstrap, reaches_other_nodes, tasks_per_node
from ..command.placeholders import LATEST, OUTPUT, fill_placeholders, notes_on_braces
from ..command.precision import precision_settings
from ..command.processes.program import with_arguments
from ..command.run_name import name_of_command
from ..command.trainer import NO_FLAGS, saving_flags, stopping_flags
from ..recipes.shell.written_out import write_out
from .destination import Destination
from .machine import Machine
from .notes import bootstrap_note, container_notes, limit_notes, request_notes
from .request import SlurmRequest, decide_request
from .sweep import NO_SWEEP, Sweep, check_sweep_reaches

if TYPE_CHECKING:  # a job of unknown size has no estimate
    from ...estimator.estimate.estimate import Estimate

_KILL_MARGIN_S = 5.0  # between the end of a run's grace and its limit
_SHORTEST_GRACE_S = 5.0


@dataclass(frozen=True)
class SubmitOptions:
    """How a job is submitted, beside its job file: the options of `submit`.

    `walltime_s` is that of one job, and `parallel` limits the runs of a sweep at once; None leaves them open.
    `other_braces` leaves `{name}` in the command as it is where no placeholder has that name.
    """

    walltime_s: float | None = None
    sweep: Sweep = NO_SWEEP
    parallel: int | None = None
    requeue: bool = True
    other_braces: bool = False


@dataclass(frozen=True)
class Decision:
    """What is submitted, decided before any folder is made; `sweep` has the values of each run.

    `command` and `resume` keep the placeholders that differ between runs, and `{latest}`.  `checkpoint` is what the job
    file states of checkpoints, `deepspeed_config` the content of each run's own config file.  `one_task` starts the
    processes of all nodes.  `limit_s` ends a run on this machine.  The files of the command get `umask`.  `notes` say
    each choice in a sentence.
    """

    name: str
    request: SlurmRequest
    command: tuple[str, ...]
    resume: tuple[str, ...]
    bootstrap: Bootstrap
    one_task: bool
    container: Container | None
    environment: Mapping[str, str]
    deepspeed_config: Mapping[str, Any] | None
    checkpoint: CheckpointPlan
    stop_signal: str
    grace_s: float
    max_restarts: int
    log_pattern: str | None
    stall_command: tuple[str, ...]
    limit_s: float | None
    umask: int
    sweep: Sweep
    notes: tuple[str, ...]


def decide(
    workload: Workload,
    destination: Destination,
    estimate: "Estimate | None",
    options: SubmitOptions,
    machine: Machine,
) -> Decision:
    """Return what is submitted for `workload`, which has a command.

    Without an estimate no interval of checkpoints is known, and no walltime but that of `options`.  Raises WorkloadError
    and InputError.
    """
    run, placement = run_of(workload), destination.placement
    if fault := is_uneven(workload, placement):
        raise WorkloadError(fault)
    training, on_slurm = workload.training, destination.on_slurm
    framework = _stated_framework(workload)
    precision = precision_settings(
        training.precision if "precision" in training.model_fields_set else None,
        framework,
        placement.possible_gpus,
        run.command,
        machine.deepspeed_config,
    )
    bootstrap = choose_bootstrap(run.command, framework, placement.gpus, run.bootstrap)
    save_steps = _recommended_steps(estimate) if estimate else None
    saving = saving_flags(precision.command, framework, workload.checkpoint, save_steps)
    stopping = stopping_flags(precision.command, framework) if machine.trainer_saves else NO_FLAGS
    check_sweep_reaches(options.sweep, (*run.command, *run.resume))
    steps = estimate.steps.total if estimate else None
    values = placeholder_values(workload, placement, steps, save_steps)
    check_values_are_known(run, values)
    swept = options.sweep[0].keys()
    braces = notes_on_braces(run.command, [*values, OUTPUT, *swept])
    one_task = bootstrap is Bootstrap.SINGLE and reaches_other_nodes(run.command, machine.texts, write_out)
    name = workload.name or name_of_command(run.command)
    request = decide_request(
        workload,
        placement,
        estimate if on_slurm else None,  # a run on this machine has no limit but one that is asked for
        name=name,
        tasks_per_node=1 if one_task else tasks_per_node(bootstrap, placement.gpus_per_node),
        walltime_s=options.walltime_s,
        default_walltime_s=destination.default_walltime_s,
        requeue=options.requeue,
        parallel=options.parallel,
        standing={name: str(option.value) for name, option in destination.standing_options.items()},
        default_partition=destination.default_partition,
        leaves_partition_open=destination.leaves_partition_open,
    )
    grace_s = max(request.signal_delay_s - _KILL_MARGIN_S, _SHORTEST_GRACE_S)
    limit_s = None if on_slurm else options.walltime_s
    signal = "SIGUSR1" if framework is Framework.LIGHTNING and on_slurm else "SIGTERM"
    return Decision(
        name=name,
        request=request,
        command=fill_placeholders(
            with_arguments(precision.command, (*saving.words, *stopping.words)),
            values,
            later=[OUTPUT, *swept],
            other_braces=options.other_braces,
        ),
        resume=fill_placeholders(run.resume, values, later=[OUTPUT, LATEST, *swept]),
        bootstrap=bootstrap,
        one_task=one_task,
        container=machine.container,
        environment={
            **precision.environment,
            **shape_variables(workload, placement, is_sized=estimate is not None),
            **machine.own_variables,
        },
        deepspeed_config=precision.config,
        checkpoint=workload.checkpoint,
        stop_signal=run.stop_signal or signal,
        grace_s=grace_s,
        max_restarts=run.max_restarts,
        log_pattern=run.log_pattern,
        stall_command=run.stall_command,
        limit_s=limit_s,
        umask=machine.umask,
        sweep=options.sweep,
        notes=(
            precision.note,
            *saving.notes,
            *stopping.notes,
            bootstrap_note(bootstrap, placement, run.command, one_task=one_task),
            *container_notes(machine.container),
            *braces,
            *(f"{name}={value} of your environment is kept" for name, value in machine.own_variables.items()),
            *request_notes(request, workload, destination),
            *limit_notes(limit_s, grace_s),
        ),
    )


def run_of(workload: Workload) -> RunOptions:
    """Return how the job is run.  Raises WorkloadError if it has no command."""
    if workload.run is None:
        raise WorkloadError("there is no command: give one after --, or in the job file's [run]")
    return workload.run


def uses_trainer(workload: Workload) -> bool:
    """Return whether the job states a framework that is Hugging Face's Trainer."""
    return _stated_framework(workload) in TRAINERS


def _stated_framework(workload: Workload) -> Framework | None:
    training = workload.training
    return training.framework if "framework" in training.model_fields_set else None


def _recommended_steps(estimate: "Estimate") -> int | None:
    from ...estimator.estimate.intervals import recommended_steps  # noqa: PLC0415  the estimate

    return recommended_steps(estimate)
