"""A submission in two steps: decide and check it, then make the runs and hand them to Slurm or to this machine."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..estimator.job.framework import Bootstrap
from ..estimator.job.workload import Workload
from ..estimator.measurements.measurement import Measurement
from ..launcher.command.processes.faults import find_command_faults
from ..launcher.command.processes.nodes import Surroundings
from ..launcher.forecast.begin import begin_forecast
from ..launcher.node.training_job import TrainingJob
from ..launcher.recipes.shell.written_out import write_out
from ..launcher.run_folder.folder import history_path, runs_root
from ..launcher.run_folder.locks.checkpoint_folder import checkpoint_folders, read_writer
from ..launcher.submission import submit
from ..launcher.submission.create import describe_run, fill_folders, new_run_folders
from ..launcher.submission.decide import Decision, SubmitOptions, decide, run_of, uses_trainer
from ..launcher.submission.destination import Destination, choose_destination, choose_executor
from ..launcher.submission.machine import (
    Machine,
    inspect_machine,
    lacks_torch,
    with_real_names,
)
from ..launcher.submission.preflight import PreflightJob, find_problems
from ..launcher.submission.problem import Problem
from ..launcher.submission.request import SlurmRequest
from ..launcher.submission.submission import PreparedSubmission, Submission, SubmittedRun
from .job import with_site_defaults

if TYPE_CHECKING:  # a job of unknown size has no estimate
    from ..estimator.estimate.estimate import Estimate


def prepare_submission(
    workload: Workload,
    options: SubmitOptions | None = None,
    *,
    executor: str | None = None,
    measurements: Sequence[Measurement] = (),
    is_sized: bool = True,
    needs_gpus: bool = True,
    dry_run: bool = False,
    cwd: Path | None = None,
    root: Path | None = None,
) -> PreparedSubmission:
    """Decide how `workload` is submitted, and check it; nothing is written.

    The command runs in `cwd`, by default the working folder, and run folders are made in `root`, by default
    `$CLUSTERPLAN_RUNS`.

    `measurements` are those that `find_measurements` returns.  Nothing is estimated unless the size of the job
    `is_sized`, that is known.  On this machine a job that `needs_gpus` is refused where there are none.  A dry run does
    without a Slurm that answers.  Raises InputError, SlurmUnavailable and others of ClusterplanError.
    """
    options = options or SubmitOptions()
    environment = os.environ
    cwd, root = cwd or Path.cwd(), root or runs_root(environment)
    executor = choose_executor(executor, options.parallel, workload, dry_run=dry_run)
    if executor == "slurm":
        workload = with_site_defaults(workload, has_cluster=True)
    destination = choose_destination(executor, workload, environment, needs_gpus=needs_gpus, dry_run=dry_run)
    estimate = _estimate(workload, destination, measurements) if is_sized else None
    machine = inspect_machine(
        run_of(workload),
        cwd,
        root,
        environment,
        uses_trainer=uses_trainer(workload),
        checkpoints=workload.checkpoint.folder,
    )
    decision = decide(workload, destination, estimate, options, machine)
    job = _job(workload, destination, estimate, decision, machine, environment)
    shared = with_real_names(destination.profile.shared_folders if destination.profile else ())
    problems = find_problems(job, machine, destination.cluster, shared)
    problems = [*destination.problems, *problems]
    output = cwd / decision.checkpoint.folder if decision.checkpoint.folder else None
    writer = read_writer(output) if output else None
    prepared = PreparedSubmission(
        workload, destination, estimate, decision, machine, tuple(problems), cwd, root, writer
    )
    return replace(prepared, problems=(*_check_checkpoint_folder(prepared), *problems))


def _estimate(
    workload: Workload, destination: Destination, measurements: Sequence[Measurement]
) -> "Estimate":
    from ..estimator.estimate.estimate import estimate_workload  # noqa: PLC0415  the estimate, for a job of known size

    return estimate_workload(workload, destination.profile, measurements, datetime.now(UTC))


def _estimate_values(estimate: "Estimate") -> dict[str, Any]:
    """What estimate.json says."""
    from ..estimator.estimate.shapes import Verdicts  # noqa: PLC0415  likewise
    from ..render.estimate.as_dict import estimate_as_dict  # noqa: PLC0415  likewise

    return estimate_as_dict(estimate, Verdicts(None, None))


def _checkpoint_s(estimate: "Estimate") -> float | None:
    """Seconds between checkpoints; None if they are not known."""
    from ..estimator.estimate.intervals import interval_steps  # noqa: PLC0415  likewise

    step_s, workload = estimate.step_time.seconds, estimate.workload
    every = interval_steps(workload.checkpoint, workload, estimate.steps)
    return every * step_s.p50 if every and step_s else None


def _check_checkpoint_folder(prepared: PreparedSubmission) -> tuple[Problem, ...]:
    """Return a refusal if another run writes where this one would keep its checkpoints."""
    launch, own = prepared.first_launch(), prepared.dry_folder
    if not checkpoint_folders(launch, own):
        return ()
    from ..launcher.runs import checkpoint_writers  # noqa: PLC0415  the state of runs, where none could write

    return checkpoint_writers.check_checkpoint_folder(launch, own, history_path(os.environ))


def submit_prepared(
    prepared: PreparedSubmission, *, force: bool = False, facts: Mapping[str, Any] | None = None
) -> Submission:
    """Make the runs and hand them over; `facts` are further values of run.json, such as the run that one goes on from.

    Raises InputError if a problem refuses and it is not forced, SubmissionError if Slurm does, and RunFolderError.  No
    run is left half-registered then, nor by Ctrl-C; a note on the exception names those that had begun.
    """
    check_refusals(prepared, force=force)
    decision, destination = prepared.decision, prepared.destination
    workload, estimate = prepared.workload, prepared.estimate
    described = {**describe_prepared(prepared), **(facts or {})}
    expected = _estimate_values(estimate) if estimate else None
    sweep, history = decision.sweep, history_path(os.environ)
    with new_run_folders(
        decision.name, prepared.root, datetime.now(UTC), described, sweep, history
    ) as folders:
        launches = prepared.launches(folders, destination.local_gpus)
        unregistered = fill_folders(
            folders, launches, decision, workload, expected, history, prepared.checkpoint_writer
        )
        jobs, notes = hand_over(folders, decision.request, destination)
    runs = tuple(
        SubmittedRun(folder.name, destination.executor, job, folder)
        for folder, job in zip(folders, jobs, strict=True)
    )
    return Submission(
        runs, decision, estimate, (*prepared.problems, *unregistered), destination.local_gpus, notes
    )


def check_refusals(prepared: PreparedSubmission, *, force: bool) -> None:
    """Raise InputError if a problem refuses and it is not forced."""
    if (refusals := prepared.refusals()) and not force:
        reasons = "; ".join(problem.text for problem in refusals)
        raise InputError(f"{reasons}; --force submits all the same")


def describe_prepared(prepared: PreparedSubmission) -> dict[str, Any]:
    """Return what run.json says of the runs of a submission, with the diff of its code."""
    estimate = prepared.estimate
    return describe_run(
        prepared.workload,
        prepared.destination.placement,
        estimate.steps.total if estimate else None,
        prepared.destination.executor,
        prepared.cwd,
        os.environ,
        prepared.machine.python,
    )


def _job(
    workload: Workload,
    destination: Destination,
    estimate: "Estimate | None",
    decision: Decision,
    machine: Machine,
    environment: Mapping[str, str],
) -> PreflightJob:
    """What is checked before the job is queued."""
    by_torchrun = decision.bootstrap is Bootstrap.TORCHRUN and machine.python is not None
    return PreflightJob(
        decision.request,
        precision=destination.placement.precision,
        gpu=destination.placement.gpu,
        checkpoint_s=_checkpoint_s(estimate) if estimate else None,
        p95_s=estimate.clock.p95 if estimate else None,
        runs=len(decision.sweep),
        lacks_torch=by_torchrun and lacks_torch(machine.python or "", environment),
        command_faults=tuple(
            find_command_faults(
                decision.command,
                decision.bootstrap,
                Surroundings(decision.request.nodes, decision.request.gpus, environment),
                machine.texts,
                is_stated=run_of(workload).bootstrap is not None,
                is_python_script=machine.python is not None,
                write_out=write_out,
            )
        ),
    )


def hand_over(
    folders: Sequence[Path], request: SlurmRequest, destination: Destination
) -> tuple[list[str], tuple[str, ...]]:
    """Hand runs to their executor; return the job of each, and the notes of the site's sbatch.

    Raises SubmissionError and RunFolderError.
    """
    if destination.on_slurm:
        queued = submit.submit_runs(folders, request, destination.cluster_name, TrainingJob)
        begin_forecast(folders)
        return queued
    return [submit.submit_local(folder) for folder in folders], ()
