"""The sections of the job file on running it: the command, and other options of sbatch."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ...cluster_profiles.files.toml_file import Section
from ...cluster_profiles.profile import Count
from .framework import Bootstrap


def _srun_arguments(value: object) -> object:
    if isinstance(value, list | tuple) and any(str(word).startswith("--container") for word in value):
        raise ValueError("--container-... would start clusterplan itself in the image: use run.container")
    return value


# What a user's own expression may read of a line; the unit is in the name.
LOG_QUANTITIES = (
    "step",
    "total_steps",
    "epoch",
    "loss",
    "learning_rate",
    "evaluation_loss",
    "step_time_s",
    "step_time_ms",
    "steps_per_s",
    "samples_per_s",
    "tokens_per_s",
    "elapsed",
    "wait_s",
)


def check_log_pattern(value: str) -> str:
    """Return a regular expression of lines that report a step.  Raises ValueError if it is none, or names no step."""
    try:
        groups = re.compile(value).groupindex
    except re.error as error:
        raise ValueError(f"is no regular expression of Python: {error}") from None
    if unknown := [name for name in groups if name not in LOG_QUANTITIES]:
        raise ValueError(f"names a group {unknown[0]!r}: give names out of {', '.join(LOG_QUANTITIES)}")
    if "step" not in groups:
        raise ValueError(r"has no group for the step: write its digits as (?P<step>\d+)")
    return value


class RunOptions(Section):
    """The command that trains, how it is started, and how it is restarted.

    Placeholders in the lists are {batch_size} {accumulation} {gpus} {nodes} {precision} {max_steps} {save_steps}
    {output}, the names of a sweep, and, in `resume` alone, {latest}: the newest checkpoint.
    """

    command: tuple[str, ...] = Field(min_length=1, description="Program and arguments; no shell reads them.")
    resume: tuple[str, ...] = Field(
        (), description="Arguments that are added where a checkpoint exists; `{latest}` is its path."
    )
    bootstrap: Bootstrap | None = Field(
        None,
        description="`torchrun`: one task per node, which starts one process per GPU; `per-gpu`: one task per GPU; `single`: one "
        "task per node. Default: `torchrun` for Python on several GPUs, `per-gpu` for Lightning, otherwise `single`.",
    )
    stop_signal: Literal["SIGTERM", "SIGUSR1", "SIGINT"] | None = Field(
        None,
        description="Signal that tells the command to save and stop. Default: SIGTERM; SIGUSR1 for Lightning on Slurm.",
    )
    container: str | None = Field(
        None,
        min_length=1,
        description="Image in which the command runs, and nothing else: a `.sif` or a folder for Apptainer or Singularity, "
        "`docker://...`, or a `.sqsh` for enroot. The folder of the command and that of the run are seen inside.",
    )
    container_mounts: tuple[str, ...] = Field(
        (), description="More folders that are seen inside, such as `/data` or `/data:/inside`."
    )
    srun: Annotated[tuple[str, ...], BeforeValidator(_srun_arguments)] = Field(
        (), description="Arguments that are added to srun, such as `--cpu-bind=none`."
    )
    log_pattern: Annotated[str, AfterValidator(check_log_pattern)] | None = Field(
        None,
        description="Regular expression of the lines that report a step, for a script whose lines no format knows. Its named "
        r"groups say what it reads: `step (?P<step>\d+) loss (?P<loss>\S+)`; the names are in the page on log formats.",
    )
    stall_command: tuple[str, ...] = Field(
        (),
        description="Program and arguments that run once on the first node when no step has come for too long: "
        "`clusterplan status` then says `stalled`. CLUSTERPLAN_RUN and CLUSTERPLAN_STALLED_S say which run, and for how long.",
    )
    max_restarts: Count = Field(100, ge=0, le=10_000, description="Most restarts of the run.")


def _sbatch_options(value: object) -> tuple[tuple[str, str | int | bool], ...]:
    if not isinstance(value, Mapping):
        raise ValueError('must be a table of sbatch options, such as account = "lab"')  # noqa: TRY004  pydantic's way
    for name, content in value.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", str(name)):
            raise ValueError(
                f"{name!r} is not an option of sbatch: write its long name, such as cpus-per-task"
            )
        if name.startswith("container"):  # of sbatch's pyxis: the batch script would start in the image
            raise ValueError(
                f"{name} would start clusterplan itself in the image: use run.container or --container"
            )
        if name in _OURS:
            raise ValueError(f"{name} is set by clusterplan: {_OURS[name]}")
        if not isinstance(content, str | int | bool) or re.search(r"[\x00-\x1f]", str(content)):
            raise ValueError(f"{name} must be one line of text, a number or true")
    return tuple(value.items())


_OURS = {
    "nodes": "use cluster.nodes or --nodes",
    "gpus": "use training.gpus or --gpus",
    "gpus-per-node": "use training.gpus or --gpus",
    "gres": "use training.gpus and cluster.gpu",
    "partition": "use cluster.partition or --partition",
    "time": "use --time",
    "job-name": "use name or --name",
    "no-requeue": "use --no-requeue",
    "test-only": "use --dry-run",
    "wait": "use --follow",
    "gpus-per-task": "use training.gpus or --gpus; with bootstrap per-gpu each GPU has a task, which takes the GPU number LOCAL_RANK",
    **dict.fromkeys(("ntasks", "ntasks-per-node", "ntasks-per-gpu"), "use run.bootstrap or --bootstrap"),
    "array": "use --sweep",
    "export": "leave it out: the environment of `submit` is the job's; run it as `env NAME=VALUE clusterplan submit`",
    "chdir": "leave it out: the job runs in the folder it is submitted from",
    **dict.fromkeys(("output", "error"), "leave it out: `clusterplan logs` shows what each task prints"),
    "signal": "leave it out: run.stop_signal says which signal the command gets",
    "requeue": "leave it out: it is set, unless --no-requeue is given",
    **dict.fromkeys(
        (
            "input",
            "open-mode",
            "wrap",
            "parsable",
        ),
        "leave it out",
    ),
}
SbatchOptions = Annotated[tuple[tuple[str, str | int | bool], ...], BeforeValidator(_sbatch_options)]
