"""One task of a job: where Slurm, or this machine, put it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One rank of a job, as Slurm numbers it.

    `restart` counts the starts of one Slurm job, `node` is the name of the task's own node, `first_host` the address
    of the job's first node for the other tasks, and `cpus` are those of this task.
    """

    job: str
    rank: int
    ranks: int
    local_rank: int
    local_ranks: int
    node_rank: int
    nodes: int
    first_host: str
    cpus: int
    node: str = ""
    restart: int = 0
    on_slurm: bool = True
