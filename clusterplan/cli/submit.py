"""`clusterplan submit`."""

import json
import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ..cluster_profiles.catalog import load_profile
from ..cluster_profiles.units import parse_duration_s
from ..errors import ClusterplanError, InputError, SlurmUnavailable, WorkloadError
from ..estimator.estimate import Estimate
from ..estimator.estimate import estimate as estimate_one
from ..estimator.job_file import load_workload
from ..estimator.placement import Placement, place
from ..estimator.what_if import Verdicts
from ..estimator.workload import Workload
from ..launcher import slurm
from ..launcher.run_folder import (
    ESTIMATE_FILE,
    create,
    discard,
    history_path,
    register,
    runs_root,
    write_json,
)
from ..launcher.run_state import State
from ..launcher.submission import Plan, plan, sweep
from ..report import estimate_json, submit_text
from ..report.layout import Page
from . import following
from .options import WorkloadCommand, echo_page, json_option, workload_values

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
@click.option(
    "--follow", is_flag=True, help="Show what the run prints until it ends; Ctrl-C leaves it running."
)
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
    _check_follow("--sweep" if sweeps else "--json" if as_json else None, follow=follow)
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
    profile = load_profile(workload.cluster.profile) if workload.cluster.profile else None
    placement = place(workload, profile)
    if where == "local" and placement.nodes > 1:
        raise InputError(f"{placement.nodes} nodes: this machine is one; give --nodes 1, or --executor slurm")
    estimate = estimate_one(workload, profile) if sized else None
    time_s = _time_s(time, estimate if where == "slurm" else None)  # here nobody asks for one
    swept = sweep(sweeps)
    now = datetime.now(UTC)

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
    name = workload.name or Path((typed or workload.run.command if workload.run else typed)[0]).name
    if dry_run:
        shown = made([str(root / f"{name}-DRY-RUN")] * len(swept))
        _print_dry_run(root / f"{name}-DRY-RUN", shown, where)
        return
    _check_command(made([str(root)] * len(swept)), force=force)
    facts = _facts(workload, placement, estimate, where)
    folders: list[Path] = []
    try:
        folders.extend(
            create(name, root, now, {**facts, "began_s": now.timestamp(), "sweep": v or None}) for v in swept
        )
        ready = made([str(folder) for folder in folders])
        _prepare(folders, ready, workload, estimate, where, time_s)
        jobs = _hand_over(folders, ready, where)
    except (ClusterplanError, OSError):
        for folder in folders:  # nothing half-registered
            discard(folder, history_path(os.environ))
        raise
    runs = [
        {"run": f.name, "executor": where, "job_id": j, "folder": str(f)}
        for f, j in zip(folders, jobs, strict=True)
    ]
    said = {"runs": runs} if sweeps else runs[0]
    text = json.dumps(said, indent=2) if as_json else None
    _echo(text, lambda page: submit_text.submitted(page, runs, ready, estimate))
    if follow:
        _follow(folders[0])


def _echo(text: str | None, fill: Callable[[Page], None]) -> None:
    if text is None:
        echo_page(fill)
    else:
        click.echo(text)


def _check_follow(other: str | None, *, follow: bool) -> None:
    if follow and other:
        raise InputError(f"--follow shows one run as text: leave out {other}")


def _follow(folder: Path) -> None:
    """Show the run until it ends; like a command of its own, it fails if the run did."""
    if following.follow(folder).state.state is not State.COMPLETED:
        raise click.exceptions.Exit(1)


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


def _facts(
    workload: Workload, placement: Placement, estimate: Estimate | None, executor: str
) -> Mapping[str, Any]:
    from ..launcher.snapshot import redacted, snapshot

    training = workload.training
    return {
        "kind": "submit",
        "model": workload.model,
        "command": redacted(workload.run.command) if workload.run else [],
        "host": socket.gethostname(),
        "executor": executor,
        "cwd": str(Path.cwd()),
        "steps": estimate.steps.total if estimate else None,
        "shape": {
            "model": workload.model,
            "gpu": placement.gpu.key if placement.gpu else None,
            "nodes": placement.nodes,
            "gpus": placement.gpus,
            "gpus_per_node": placement.gpus_per_node,
            "batch_size": training.batch_size,
            "accumulation": training.accumulation,
            "precision": placement.precision,
            "seq_len": workload.data.seq_len,
        },
        **snapshot(Path.cwd(), os.environ),
    }


def _prepare(
    folders: Sequence[Path],
    ready: Plan,
    workload: Workload,
    estimate: Estimate | None,
    executor: str,
    time_s: float | None,
) -> None:
    here = executor == "local"
    local = _local_gpus(ready.launches[0].gpus) if here else None
    for folder, launch in zip(folders, ready.launches, strict=True):
        replace(launch, local_gpus=local, limit_s=time_s if here else None).write(folder)
        write_json(folder / "request.json", asdict(ready.request))
        write_json(folder / "job.json", workload.model_dump(mode="json", exclude={"run"}))
        if estimate:
            write_json(folder / ESTIMATE_FILE, estimate_json.one(estimate, Verdicts(None, None)))
        if launch.output:
            Path(launch.output).mkdir(mode=0o700, parents=True, exist_ok=True)
        register(folder, history_path(os.environ))


def _local_gpus(wanted: int) -> tuple[str, ...]:
    """The GPUs of this machine that a run may wait for; none where there are none."""
    from ..launcher import nvml
    from ..launcher.visible_gpus import ours

    try:
        with nvml.opened() as library:
            found = [
                d.identity.uuid
                for d in ours(library.devices()[0], os.environ)[0]
                if not d.identity.mig_parent
            ]
    except ClusterplanError:
        return ()
    if found and wanted > len(found):
        raise InputError(f"--gpus: {wanted} are wanted, and this machine has {len(found)}")
    return tuple(found)


def _hand_over(folders: Sequence[Path], ready: Plan, executor: str) -> list[str]:
    from ..launcher import submit as submitting

    if executor == "local":
        return [submitting.submit_local(folder) for folder in folders]
    return submitting.submit(folders, ready.request)


def _print_dry_run(folder: Path, shown: Plan, executor: str) -> None:
    from ..launcher.submit import script

    text = script(folder, shown.request, len(shown.launches)) if executor == "slurm" else None
    echo_page(lambda page: submit_text.dry_run(page, shown, text))
