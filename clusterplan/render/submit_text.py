"""What was submitted, or would be."""

import shlex
from collections.abc import Mapping, Sequence

from ..cluster_profiles.units import format_duration, plural
from ..estimator.estimate.estimate import Estimate
from ..estimator.job.run import Bootstrap
from ..launcher.command.launchers import (
    PORT_RULE,
    Task,
    master_port,
    task_command,
    task_environment,
)
from ..launcher.run_folder.launch import Launch
from ..launcher.submission.plan import Plan
from .layout import Page, Style

_MOST_RUNS = 20
_JOB = "JOB"  # has no id yet
_PORT = f"--master_port={master_port(_JOB)}"


def submitted(
    page: Page,
    runs: Sequence[Mapping[str, str]],
    plan: Plan,
    estimate: Estimate | None,
    gpus_here: Sequence[str] | None,
) -> None:
    """The run's id first, then what is asked for, what to expect and what was decided.

    `gpus_here` are the GPUs that this machine can lend to a run that it is to do.
    """
    first = runs[0]
    on_slurm = first["executor"] == "slurm"
    where, job = ("Slurm", "job") if on_slurm else ("this machine", "process")
    rows = [("run", first["run"], f"{job} {first['job_id']} on {where}")]
    if len(runs) > 1:
        rows = [("runs", f"{len(runs)}", f"on {where}")]
        for run, values in zip(runs[:_MOST_RUNS], plan.values, strict=False):
            swept = ", ".join(f"{name} {value}" for name, value in values.items())
            rows.append(("", run["run"], f"{job} {run['job_id']}: {swept}"))
        if len(runs) > _MOST_RUNS:
            rows.append(("", f"and {len(runs) - _MOST_RUNS} more", "`clusterplan status` lists them"))
    rows.append(("folder", first["folder"], ""))
    rows.append(("asks", *_asked(plan, gpus_here)))
    if estimate and estimate.clock.total:
        total = estimate.clock.total
        rows.append(
            (
                "time",
                format_duration(total.p50),
                f"{format_duration(total.p10)} to {format_duration(total.p90)}",
            )
        )
    if on_slurm:
        segments = estimate.clock.segments if estimate else None
        rows.append(
            (
                "walltime",
                plan.request.time or "the partition's default",
                f"{segments} such jobs in a row" if segments and segments > 1 else "",
            )
        )
    page.facts(rows)
    page.line()
    for said in plan.said:
        page.sentence(said)
    page.line()
    page.line(f"clusterplan status {first['run']}")
    page.line(f"clusterplan logs -f {first['run']}")


def _asked(plan: Plan, gpus_here: Sequence[str] | None) -> tuple[str, str]:
    """What one run wants, and where."""
    gpus, each = plan.launches[0].gpus, ", for each run" if len(plan.launches) > 1 else ""
    if gpus_here:
        return plural(gpus, "GPU"), f"of {len(gpus_here)} on this machine{each}"
    if gpus_here is not None:
        return "no GPU", "there is no whole one on this machine: the run starts without"
    request = plan.request
    nodes = plural(request.nodes, "node") + (f" of {request.gpus_per_node}" if request.nodes > 1 else "")
    partition = f"partition {request.partition}" if request.partition else "the default partition"
    return f"{gpus} x {request.gres}" if request.gres else plural(
        gpus, "GPU"
    ), f"{nodes} in {partition}{each}"


def dry_run(page: Page, plan: Plan, script: str | None) -> None:
    """The script, the command of every kind of task, and what is added to the environment."""
    if script:
        page.line("the script for sbatch", Style.BOLD)
        for line in script.rstrip().splitlines():
            page.line(f"  {line}")
        page.line()
    for launch, values in zip(plan.launches, plan.values, strict=True):
        swept = " ".join(f"{name}={value}" for name, value in values.items())
        page.line(f"each task of the run{f' with {swept}' if swept else ''} runs", Style.BOLD)
        per_gpu = launch.bootstrap is Bootstrap.PER_GPU
        ranks = launch.gpus if per_gpu else launch.nodes
        shown = [0] if ranks == 1 else [0, ranks - 1]
        for rank in shown:
            words = task_command(launch.bootstrap, launch.command, _task(launch, rank, ranks))
            page.line(f"  task {rank}: {shlex.join(words).replace(_PORT, '--master_port=$MASTER_PORT')}")
        if launch.resume:
            page.line(f"  and once there is a checkpoint: {shlex.join(launch.resume)}")
    page.line()
    page.line("added to the environment", Style.BOLD)
    first = plan.launches[0]
    derived = {
        "MASTER_ADDR": "the first node",
        "MASTER_PORT": f"{PORT_RULE}, which every node finds by itself",
        "OMP_NUM_THREADS": "CPUs / processes, unless it is set",
    }
    shown_values = {**task_environment(first.bootstrap, _task(first, 0, first.nodes), {}), **derived}
    if first.bootstrap is Bootstrap.PER_GPU:
        shown_values |= dict.fromkeys(
            ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK"), "the task's"
        )
    for name, value in {**first.environment, **shown_values}.items():
        page.line(f"  {name}={value}")
    page.line("  CLUSTERPLAN_RUN_FOLDER=the run's folder")
    page.line("  CLUSTERPLAN_ATTEMPT=the job's id and how often it was restarted")
    page.line()
    for said in plan.said:
        page.sentence(said)


def _task(launch: Launch, rank: int, ranks: int) -> Task:
    """A task of a job that has no id and no nodes yet."""
    each = ranks // launch.nodes
    return Task(
        rank=rank,
        ranks=ranks,
        local_rank=rank % each,
        local_ranks=each,
        node_rank=rank // each,
        nodes=launch.nodes,
        gpus_per_node=launch.gpus_per_node,
        first_host="$FIRST_NODE",
        job_id=_JOB,
        cpus=1,
    )
