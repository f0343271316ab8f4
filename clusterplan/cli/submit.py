"""`clusterplan submit`."""

import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ..cluster_profiles.catalog import load_profile
from ..cluster_profiles.profile import ClusterProfile
from ..cluster_profiles.units import parse_duration_s
from ..errors import ClusterplanError, InputError, SlurmUnavailable, WorkloadError
from ..estimator.estimate import Estimate
from ..estimator.estimate import estimate as estimate_one
from ..estimator.job_file import load_workload
from ..estimator.placement import place
from ..estimator.what_if import Verdicts
from ..estimator.workload import Workload
from ..launcher import slurm
from ..launcher.discovery import discover
from ..launcher.new_run import fill_folders, local_gpus, make_folders, run_facts
from ..launcher.run_folder import discard, history_path, runs_root
from ..launcher.submission import Plan, plan, sweep
from ..report import estimate_json, submit_text
from .options import WorkloadCommand, echo_page, json_option, workload_values
from .recorded import measurements_of

_UNSIZED = {"samples": 1, "batch_size": 1, "gpus": 1}


@click.command(cls=WorkloadCommand, context_settings={"ignore_unknown_options": False})
@click.argument("job", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--executor", type=click.Choice(["slurm", "local"]), help="Else Slurm where it is, and this machine."
)
@click.option(
    "--time", metavar="TIME", help="Walltime of a job; else the estimate's, or the partition's default."
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME=A,B",
    help="A run for each value; {NAME} in the command.",
)
@click.option("--parallel", type=click.IntRange(min=1), metavar="N", help="Runs of a sweep at once, at most.")
@click.option(
    "--requeue/--no-requeue", default=True, help="Whether Slurm may put the job back into the queue."
)
@click.option("--force", is_flag=True, help="Submit although the checks refuse.")
@click.option("--dry-run", is_flag=True, help="Print the script, commands and environment; submit nothing.")
@json_option
def submit(
    job: str | None,
    command: tuple[str, ...],
    executor: str | None,
    time: str | None,
    sweeps: tuple[str, ...],
    parallel: int | None,
    requeue: bool,  # noqa: FBT001
    force: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **flagged: Any,
) -> None:
    """Run a training job on Slurm, or on this machine, so that it survives limits and failures.

    JOB is a job file with a command in [run]; or give the command after two dashes:

        clusterplan submit job.toml
        clusterplan submit --gpus 4 -- python train.py
    """
    path, typed = _job_and_command(job, command)
    given, gpus, precisions = workload_values(flagged)
    if len(gpus) > 1 or len(precisions) > 1:
        raise InputError(
            "--gpus and --precision: submit takes one value of each; `estimate` compares several"
        )
    given |= {name: listed[0] for name, listed in (("gpus", gpus), ("precision", precisions)) if listed}
    sized = path is not None or "samples" in given or "tokens" in given
    workload = load_workload(path, given, assumed=None if sized else _UNSIZED)
    if not typed and workload.run is None:
        raise WorkloadError("there is no command: give one after --, or in the job file's [run]")
    where = executor or ("slurm" if slurm.available() else "local")
    if where == "slurm" and not slurm.available():
        raise SlurmUnavailable(
            "sbatch is not found here: is this a machine of the cluster? --executor local runs here"
        )
    profile = _profile(workload, where)
    placement = place(workload, profile)
    if where == "local" and placement.nodes > 1:
        raise InputError(f"{placement.nodes} nodes: this machine is one; give --nodes 1, or --executor slurm")
    now = datetime.now(UTC)
    known = measurements_of(workload.model)
    estimate = estimate_one(workload, profile, known, now) if sized else None
    time_s = _time_s(time, estimate)
    swept = sweep(sweeps)

    def made(folders: Sequence[str]) -> Plan:
        return plan(
            workload,
            placement,
            estimate,
            command=typed,
            folders=folders,
            swept=swept,
            cwd=str(Path.cwd()),
            time_s=time_s,
            requeue=requeue,
            parallel=parallel,
            on_slurm=where == "slurm",
        )

    root = runs_root(os.environ)
    words = typed or (workload.run.command if workload.run else ())
    name = workload.name or Path(words[0]).name
    if dry_run:
        shown = made([str(root / f"{name}-DRY-RUN")] * len(swept))
        _print_dry_run(root / f"{name}-DRY-RUN", shown, where)
        return
    _check_command(made([str(root)] * len(swept)), force=force)
    gpus_here = local_gpus(placement.gpus, os.environ) if where == "local" else None
    steps = estimate.steps.total if estimate else None
    facts = run_facts(workload, placement, words, steps, where, Path.cwd(), os.environ)
    folders = make_folders(name, root, now, facts, swept)
    try:
        ready = made([str(folder) for folder in folders])
        told = estimate_json.one(estimate, Verdicts(None, None)) if estimate else None
        fill_folders(folders, ready, workload, told, gpus_here, history_path(os.environ))
        jobs = _hand_over(folders, ready, where, time_s)
    except (ClusterplanError, OSError):
        for folder in folders:  # nothing half-registered
            discard(folder, history_path(os.environ))
        raise
    runs = [
        {"run": f.name, "executor": where, "job_id": j, "folder": str(f)}
        for f, j in zip(folders, jobs, strict=True)
    ]
    if as_json:
        click.echo(json.dumps(runs[0] if len(runs) == 1 and not sweeps else {"runs": runs}, indent=2))
        return
    echo_page(lambda page: submit_text.submitted(page, runs, ready, estimate))


def _profile(workload: Workload, executor: str) -> ClusterProfile | None:
    """The one that is named, else the cluster as it is."""
    if workload.cluster.profile:
        return load_profile(workload.cluster.profile)
    return discover(slurm.cluster()).profile if executor == "slurm" else None


def _job_and_command(job: str | None, command: tuple[str, ...]) -> tuple[Path | None, tuple[str, ...]]:
    """A first word that is a job file is one; else it belongs to the command."""
    if job is None or job.endswith(".toml"):
        return (Path(job) if job else None), command
    return None, (job, *command)


def _time_s(text: str | None, estimate: Estimate | None) -> float | None:
    if text is None:
        return estimate.clock.request_s if estimate else None
    try:
        seconds = parse_duration_s(text)
    except ValueError as error:
        raise InputError(f"--time: {text!r} {error}") from None
    if seconds <= 0:
        raise InputError(f"--time: {text!r} must be greater than 0")
    return seconds


def _check_command(shown: Plan, *, force: bool) -> None:
    program = shown.launches[0].command[0]
    if not force and not shutil.which(program):
        raise InputError(f"command {program!r} is not found: give a program on PATH, or its path")


def _hand_over(folders: Sequence[Path], ready: Plan, executor: str, time_s: float | None) -> list[str]:
    from ..launcher import submit as submitting

    if executor == "local":
        minutes = int(-(-time_s // 60)) if time_s else None
        return [submitting.submit_local(folder, minutes) for folder in folders]
    return submitting.submit(folders, ready.request)


def _print_dry_run(folder: Path, shown: Plan, executor: str) -> None:
    from ..launcher.submit import script

    text = script(folder, shown.request, len(shown.launches)) if executor == "slurm" else None
    echo_page(lambda page: submit_text.dry_run(page, shown, text))
