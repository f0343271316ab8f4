"""`clusterplan submit`."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ..errors import InputError, WorkloadError
from ..estimator.estimate.estimate import estimate as estimate_one
from ..estimator.estimate.shapes import Verdicts
from ..estimator.job.job_file import load_workload
from ..estimator.job.workload import Workload
from ..launcher.command.deepspeed import find_config
from ..launcher.command.precision import TRAINERS
from ..launcher.run_folder.folder import discard_run, history_path, runs_root, slug
from ..launcher.run_folder.job_log import read_jobs
from ..launcher.run_folder.log_errors import read_tail
from ..launcher.runs.state import State
from ..launcher.submission.create import describe_run, fill_folders, local_gpus, make_folders
from ..launcher.submission.machine import inspect_machine, trainer_saves_when_stopped
from ..launcher.submission.plan import Plan, plan, reaches
from ..launcher.submission.sweep import parse_sweep
from ..render import estimate_json, submit_text
from ..render.layout import Page
from .checks import check
from .destination import Destination, destination
from .measured import measurements_of
from .options import WorkloadCommand, duration_s, echo_page, json_option, say, workload_values
from .passthrough import WithCommand

_LARGEST_CONFIG = 1 << 20  # bytes
_UNSIZED = {"samples": 1, "batch_size": 1, "gpus": 1}


class _Submit(WithCommand, WorkloadCommand):
    """Takes a workload's flags, one value of each, and a command of its own."""

    tables = False


@click.command(cls=_Submit)
@click.argument("job", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--executor", type=click.Choice(["slurm", "local"]), help="Else Slurm where it is, and this machine."
)
@click.option(
    "--time",
    metavar="TIME",
    callback=duration_s,
    help="Walltime of a job; else the estimate's, or the partition's default.",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME=A,B",
    help="A run for each value; {NAME} in the command.",
)
@click.option(
    "--parallel", type=click.IntRange(min=1), metavar="N", help="Runs of a sweep at once on Slurm, at most."
)
@click.option(
    "--requeue/--no-requeue", default=True, help="Whether Slurm may put the job back into the queue."
)
@click.option("--force", is_flag=True, help="Submit although the checks refuse.")
@click.option(
    "--follow", is_flag=True, help="Show what the run prints until it ends; Ctrl-C leaves it running."
)
@click.option("--dry-run", is_flag=True, help="Print the script, commands and environment; submit nothing.")
@json_option
def submit(
    job: str | None,
    command: tuple[str, ...],
    executor: str | None,
    time: float | None,
    sweeps: tuple[str, ...],
    parallel: int | None,
    requeue: bool,  # noqa: FBT001
    force: bool,  # noqa: FBT001
    follow: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **flagged: Any,
) -> None:
    """Run a training job on Slurm, or on this machine, so that it survives limits and failures.

    JOB is a job file with a command in [run]; or give the command after two dashes:

        clusterplan submit job.toml

        clusterplan submit --gpus 4 -- python train.py
    """
    _check_printed(sweep=bool(sweeps), as_json=as_json, follow=follow, dry_run=dry_run)
    path, typed = _job_and_command(job, command)
    workload, sized = _workload(path, typed, flagged)
    to = destination(executor, parallel, workload, dry_run=dry_run)
    now = datetime.now(UTC)
    known = measurements_of(workload.model)
    estimate = estimate_one(workload, to.profile, known, now) if sized else None
    time_s = time
    if time is None and estimate and to.on_slurm:  # here nobody asks for one
        time_s = estimate.clock.request_s
    swept = parse_sweep(sweeps)

    words = typed or (workload.run.command if workload.run else ())
    named = find_config(tuple(words))
    config = read_tail(Path(named), _LARGEST_CONFIG) if named else None

    root = runs_root(os.environ)
    looked = inspect_machine(words, Path.cwd(), root, os.environ)
    saves = bool(
        looked.python
        and _trainer_is_stated(workload)
        and trainer_saves_when_stopped(looked.python, os.environ)
    )

    def made(folders: Sequence[str]) -> Plan:
        return plan(
            workload,
            to.placement,
            estimate,
            command=typed,
            folders=folders,
            swept=swept,
            cwd=str(Path.cwd()),
            time_s=time_s,
            default_s=to.default_walltime_s,
            requeue=requeue,
            parallel=parallel,
            on_slurm=to.on_slurm,
            standing=to.standing_options,
            deepspeed_config=config,
            trainer_saves=saves,
        )

    name = workload.name or Path(words[0]).name
    check(made([str(root)] * len(swept)), workload, estimate, looked, to, force=force or dry_run)
    if dry_run:
        shown = made([str(root / f"{slug(name)}-DRY-RUN")] * len(swept))
        _print_dry_run(root / f"{slug(name)}-DRY-RUN", shown, on_slurm=to.on_slurm)
        return
    gpus_here = None if to.on_slurm else local_gpus(to.placement.gpus, os.environ)
    steps = estimate.steps.total if estimate else None
    facts = describe_run(
        workload, to.placement, words, steps, to.executor, Path.cwd(), os.environ, looked.python
    )
    folders: list[Path] = []
    try:
        folders.extend(make_folders(name, root, now, facts, swept))
        ready = made([str(folder) for folder in folders])
        told = estimate_json.one(estimate, Verdicts(None, None)) if estimate else None
        limit_s = None if to.on_slurm else time_s
        fill_folders(folders, ready, workload, told, gpus_here, limit_s, history_path(os.environ))
        jobs = _hand_over(folders, ready, to)
    except BaseException:  # Ctrl-C too: nothing is left half-registered
        _take_back(folders)
        raise
    runs = [
        {"run": f.name, "executor": to.executor, "job_id": j, "folder": str(f)}
        for f, j in zip(folders, jobs, strict=True)
    ]
    said = {"runs": runs} if sweeps else runs[0]
    text = json.dumps(said, indent=2) if as_json else None
    _echo(text, lambda page: submit_text.submitted(page, runs, ready, estimate, gpus_here))
    if follow:
        _follow(folders[0])


def _echo(text: str | None, fill: Callable[[Page], None]) -> None:
    if text is None:
        echo_page(fill)
    else:
        click.echo(text)


def _check_printed(*, sweep: bool, as_json: bool, follow: bool, dry_run: bool) -> None:
    if follow and (sweep or as_json):
        raise InputError(f"--follow shows one run as text: leave out {'--sweep' if sweep else '--json'}")
    if dry_run and as_json:
        raise InputError("--dry-run prints text: leave out --json")


def _follow(folder: Path) -> None:
    """Show the run until it ends; like a command of its own, it fails if the run did."""
    from . import following  # noqa: PLC0415  the state of runs, for --follow only

    if following.follow(folder).state.state is not State.COMPLETED:
        raise click.exceptions.Exit(1)


def _workload(path: Path | None, typed: Sequence[str], flagged: Mapping[str, Any]) -> tuple[Workload, bool]:
    """The job, and whether its size is known: a command alone is run, but nothing is estimated of it."""
    given, gpus, precisions = workload_values(dict(flagged))
    if len(gpus) > 1 or len(precisions) > 1:
        raise InputError(
            "--gpus and --precision: submit takes one value of each; `estimate` compares several"
        )
    given |= {name: listed[0] for name, listed in (("gpus", gpus), ("precision", precisions)) if listed}
    sized = path is not None or "samples" in given or "tokens" in given
    workload = load_workload(path, given, assumed=None if sized else _UNSIZED)
    if not typed and workload.run is None:
        raise WorkloadError("there is no command: give one after --, or in the job file's [run]")
    if workload.run and not typed:
        reaches(workload.run, given)
    return workload, sized


def _trainer_is_stated(workload: Workload) -> bool:
    training = workload.training
    return "framework" in training.model_fields_set and training.framework in TRAINERS


def _job_and_command(job: str | None, command: tuple[str, ...]) -> tuple[Path | None, tuple[str, ...]]:
    """A first word that is a job file is one; else it belongs to the command."""
    if job is None or job.endswith(".toml"):
        return (Path(job) if job else None), command
    return None, (job, *command)


def _hand_over(folders: Sequence[Path], ready: Plan, to: Destination) -> list[str]:
    from ..launcher.node.training_job import TrainingJob  # noqa: PLC0415  submitit, until a job is submitted
    from ..launcher.submission import submit as submitting  # noqa: PLC0415  likewise

    if to.on_slurm:
        return submitting.submit(folders, ready.request, to.cluster_name, TrainingJob)
    return [submitting.submit_local(folder) for folder in folders]


def _take_back(folders: Sequence[Path]) -> None:
    """Discard the runs that have no job; say which have."""
    begun = [folder.name for folder in folders if read_jobs(folder)]
    for folder in folders:
        if folder.name not in begun:
            discard_run(folder, history_path(os.environ))
    if begun:
        say(f"begun before that: {' '.join(begun)}")


def _print_dry_run(folder: Path, shown: Plan, *, on_slurm: bool) -> None:
    from ..launcher.submission.submit import script  # noqa: PLC0415  submitit, until its script is wanted

    text = script(folder, shown.request, len(shown.launches)) if on_slurm else None
    echo_page(lambda page: submit_text.dry_run(page, shown, text))
