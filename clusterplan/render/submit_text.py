"""What was submitted, or would be."""

import shlex

from ..cluster_profiles.units import format_duration, plural
from ..estimator.job.framework import Bootstrap
from ..launcher.command.launchers import (
    PORT_RULE,
    master_port,
    task_command,
    task_environment,
)
from ..launcher.command.task import Task
from ..launcher.run_folder.launch import Launch
from ..launcher.submission.submission import PreparedSubmission, Submission
from .layout import Page, Style

_MOST_RUNS = 20
_JOB = "JOB"  # has no id yet
_PORT = f"--master_port={master_port(_JOB)}"


def submitted(page: Page, submission: Submission) -> None:
    """Write the run's id first, then what is booked, what to expect and what was decided."""
    runs, decision, estimate = submission.runs, submission.decision, submission.estimate
    first = runs[0]
    on_slurm = first.executor == "slurm"
    where, job = ("Slurm", "job") if on_slurm else ("this machine", "process")
    rows = [("run", first.run, f"{job} {first.job_id} on {where}")]
    if len(runs) > 1:
        rows = [("runs", f"{len(runs)}", f"on {where}")]
        for run, values in zip(runs[:_MOST_RUNS], decision.sweep, strict=False):
            swept = ", ".join(f"{name} {value}" for name, value in values.items())
            rows.append(("", run.run, f"{job} {run.job_id}: {swept}"))
        if len(runs) > _MOST_RUNS:
            rows.append(("", f"and {len(runs) - _MOST_RUNS} more", "`clusterplan status` lists them"))
    rows.append(("folder", str(first.folder), ""))
    rows.append(("requests", *_booked(submission)))
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
        request = decision.request
        several = request.segments is not None and request.segments > 1
        rows.append(
            (
                "walltime",
                request.time or "the partition's default",
                f"{request.segments} such jobs in a row" if several else "",
            )
        )
    page.facts(rows)
    page.line()
    for note in decision.notes:
        page.sentence(note)
    page.line()
    page.line(f"clusterplan status {first.run}")
    page.line(f"clusterplan logs -f {first.run}")


def _booked(submission: Submission) -> tuple[str, str]:
    """The GPUs of one run, and where they are."""
    request, local_gpus = submission.decision.request, submission.local_gpus
    gpus, each = plural(request.gpus, "GPU"), ", for each run" if len(submission.runs) > 1 else ""
    if local_gpus:
        return gpus, f"of {len(local_gpus)} on this machine{each}"
    if local_gpus is not None:
        return "no GPU", "none can be used on this machine: the run is on the CPU"
    per_node = f" of {request.gpus_per_node}" if request.nodes > 1 else ""
    partition = f"partition {request.partition}" if request.partition else "the partition that Slurm chooses"
    shown = f"{request.gpus} x {request.gres}" if request.gres else gpus
    return shown, f"{plural(request.nodes, 'node')}{per_node} in {partition}{each}"


def dry_run(page: Page, prepared: PreparedSubmission) -> None:
    """Write the script, the command of every kind of task, and what is added to the environment."""
    if script := prepared.script():
        page.line("the script for sbatch", Style.BOLD)
        for line in script.rstrip().splitlines():
            page.line(f"  {line}")
        page.line()
    decision, launches = prepared.decision, prepared.launches()
    for launch, values in zip(launches, decision.sweep, strict=True):
        swept = " ".join(f"{name}={value}" for name, value in values.items())
        page.line(f"each task of the run{f' with {swept}' if swept else ''} runs", Style.BOLD)
        per_gpu = launch.bootstrap is Bootstrap.PER_GPU
        ranks = launch.gpus if per_gpu else launch.nodes
        shown = [0] if ranks == 1 or launch.one_task else [0, ranks - 1]
        for rank in shown:
            task = _task(launch, rank, ranks)
            words = task_command(
                launch.bootstrap, launch.command, task, launch.gpus_per_node, launch.environment
            )
            words = launch.in_container(words, prepared.dry_folder, _environment(launch))
            page.line(f"  task {rank}: {shlex.join(words).replace(_PORT, '--master_port=$MASTER_PORT')}")
        if launch.resume:
            page.line(f"  and once there is a checkpoint: {shlex.join(launch.resume)}")
    page.line()
    page.line("added to the environment", Style.BOLD)
    for name, value in _environment(launches[0]).items():
        page.line(f"  {name}={value}")
    page.line("  CLUSTERPLAN_RUN_FOLDER=the run's folder")
    page.line("  CLUSTERPLAN_ATTEMPT=the job's id and how often it was restarted")
    page.line()
    for note in decision.notes:
        page.sentence(note)


def _environment(launch: Launch) -> dict[str, str]:
    """The variables of a task; how a node finds a value stands for one that only the node knows."""
    node_variables = {
        "MASTER_ADDR": "the first node",
        "MASTER_PORT": f"{PORT_RULE}, which every node finds by itself",
        "OMP_NUM_THREADS": "CPUs / processes, unless it is set",
    }
    first, own = _task(launch, 0, launch.nodes), launch.environment
    values = task_environment(launch.bootstrap, first, launch.gpus_per_node, {}, own) | node_variables
    ranks = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK")
    values |= {name: "the task's" for name in ranks if name in values}
    return {**values, **own}


def _task(launch: Launch, rank: int, ranks: int) -> Task:
    """A task of a job that has no id and no nodes yet."""
    per_node = ranks // launch.nodes
    return Task(
        job=_JOB,
        rank=rank,
        ranks=ranks,
        local_rank=rank % per_node,
        local_ranks=per_node,
        node_rank=rank // per_node,
        nodes=launch.nodes,
        first_host="$FIRST_NODE",
        cpus=1,
    )
