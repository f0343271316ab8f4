"""Where one task of a job is: its rank, its node and its job, from what Slurm or submitit says in the environment."""

import os
import socket
from collections.abc import Mapping

from ..command.task import Task


def read_task(environment: Mapping[str, str]) -> Task:
    """Return this task.

    >>> task = read_task({"SLURM_JOB_ID": "7", "SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_NNODES": "2",
    ...                   "SLURM_NODEID": "1", "SLURM_LOCALID": "1", "SLURMD_NODENAME": "gpu2"})
    >>> task.job, task.rank, task.local_ranks, task.node
    ('7', 3, 2, 'gpu2')
    """
    on_slurm = "SLURM_JOB_ID" in environment and "SUBMITIT_LOCAL_JOB_ID" not in environment

    def number(name: str, default: int) -> int:
        text = environment.get(name, "")
        return int(text) if text.isdecimal() else default

    if not on_slurm:
        return Task(
            job=environment.get("SUBMITIT_LOCAL_JOB_ID", "local"),
            restart=0,
            rank=0,
            ranks=1,
            local_rank=0,
            local_ranks=1,
            node_rank=0,
            nodes=1,
            node=socket.gethostname(),
            first_host="127.0.0.1",
            cpus=os.cpu_count() or 1,
            on_slurm=False,
        )
    array = environment.get("SLURM_ARRAY_JOB_ID")
    ranks, nodes = number("SLURM_NTASKS", 1), number("SLURM_NNODES", 1)
    node = environment.get("SLURMD_NODENAME") or socket.gethostname()
    return Task(
        job=f"{array}_{environment.get('SLURM_ARRAY_TASK_ID', '')}" if array else environment["SLURM_JOB_ID"],
        restart=number("SLURM_RESTART_COUNT", 0),
        rank=number("SLURM_PROCID", 0),
        ranks=ranks,
        local_rank=number("SLURM_LOCALID", 0),
        local_ranks=max(ranks // nodes, 1),
        node_rank=number("SLURM_NODEID", 0),
        nodes=nodes,
        node=node,
        first_host=_first_host(environment) or node,
        cpus=number("SLURM_CPUS_PER_TASK", number("SLURM_CPUS_ON_NODE", os.cpu_count() or 1)),
        on_slurm=True,
    )


def _first_host(environment: Mapping[str, str]) -> str | None:
    """Return the address of the job's first node: srun runs there and sets its own."""
    if environment.get("SLURM_NNODES", "1") == "1":
        return "127.0.0.1"
    return environment.get("SLURM_LAUNCH_NODE_IPADDR")
