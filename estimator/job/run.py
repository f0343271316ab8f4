"""The parts of a job file that say how it is run: the command, and what else Slurm is asked for."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ...cluster_profiles.profile import Count
from ...cluster_profiles.toml_file import Section


class Bootstrap(StrEnum):
    """Who starts the processes of one node."""

    TORCHRUN = "torchrun"  # torchrun, one process a GPU: one task a node
    PER_GPU = "per-gpu"  # Slurm: one task a GPU
    SINGLE = "single"  # the command itself, as it is: one task a node


class Run(Section):
    """The command that trains, and how it is kept alive.

    Placeholders in the lists: {batch_size} {accumulation} {gpus} {nodes} {precision} {max_steps} {output}, names of a
    sweep, and {latest}, the newest checkpoint, in `resume` alone.
    """

    command: tuple[str, ...] = Field(min_length=1, description="Program and arguments; there is no shell.")
    resume: tuple[str, ...] = Field(
        (), description="Arguments added when there is a checkpoint to resume from; `{latest}` is its path."
    )
    bootstrap: Bootstrap | None = Field(
        None,
        description="`torchrun`: a task a node, which starts a process a GPU; `per-gpu`: a task a GPU; `single`: a task a "
        "node, as it is; else torchrun for Python on several GPUs, per-gpu for Lightning.",
    )
    stop_signal: Literal["SIGTERM", "SIGUSR1", "SIGINT"] | None = Field(
        None, description="What tells it to save and stop; else SIGTERM, and SIGUSR1 for Lightning on Slurm."
    )
    srun: tuple[str, ...] = Field((), description="Arguments added to srun, such as `--container-image=...`.")
    max_restarts: Count = Field(100, ge=0, le=10_000, description="Restarts of the whole run at most.")


def _sbatch_options(value: object) -> tuple[tuple[str, str | int | bool], ...]:
    if not isinstance(value, Mapping):
        raise ValueError('must be a table of sbatch options, such as account = "lab"')  # noqa: TRY004  pydantic's way
    for name, content in value.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", str(name)):
            raise ValueError(
                f"{name!r} is no option of sbatch: write its long name without the dashes before it"
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
    **dict.fromkeys(("ntasks", "ntasks-per-node", "ntasks-per-gpu", "gpus-per-task"), "use run.bootstrap"),
    **dict.fromkeys(
        (
            "array",
            "chdir",
            "error",
            "export",
            "input",
            "open-mode",
            "output",
            "signal",
            "requeue",
            "wrap",
            "parsable",
        ),
        "leave it out",
    ),
}
SbatchOptions = Annotated[tuple[tuple[str, str | int | bool], ...], BeforeValidator(_sbatch_options)]
