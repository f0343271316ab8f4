"""The words of a launcher that stays in the command: its options, and those by which its nodes meet.  Pure."""

from ..shell.word import Word
from .line import LaunchLine

# By these the processes of a run meet, or one node is told from another: clusterplan sets them.
_MEETING = """
master_addr master_port node_rank machine_rank main_process_ip main_process_port rdzv_id rdzv_backend rdzv_endpoint
rdzv_conf hostfile H include i exclude e gpu_ids deepspeed_hostfile same_network standalone no_ssh launcher
deepspeed_multinode_launcher role tee t log_dir r redirects max_restarts monitor_interval local_addr start_method
ssh_port p
"""
_SHAPE = {  # the counts of launchers that stay; those of a node are all of a job on one
    "accelerate": {"num_processes": "{gpus}", "num_machines": "{nodes}"},
    "mpirun": {"np": "{gpus}", "n": "{gpus}"},
    "deepspeed": {"num_gpus": "{gpus}"},
}
_SHAPE_ON_ONE_NODE = {
    "composer": {"nproc": "{gpus}", "n": "{gpus}"},
    "tune": {"nproc_per_node": "{gpus}"},
    "colossalai": {"nproc_per_node": "{gpus}"},
    "fabric": {"devices": "{gpus}"},
    "lightning": {"devices": "{gpus}"},
}
WHERE_NODES_MEET = {
    "accelerate": '--machine_rank "$NODE_RANK" --main_process_ip "$MASTER_ADDR" --main_process_port "$MASTER_PORT"',
    # https://github.com/deepspeedai/DeepSpeed deepspeed/launcher/runner.py: each node starts its own processes
    "deepspeed": '--no_ssh --node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT" '
    '--hostfile "$CLUSTERPLAN_RUN_FOLDER/hosts.$NODE_RANK"',
}
WRITE_HOSTS = (
    'scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/$/ slots=$NPROC_PER_NODE/" '
    '> "$CLUSTERPLAN_RUN_FOLDER/hosts.$NODE_RANK" && '
)


def launcher_words(launch: LaunchLine, nodes: int) -> list[Word]:
    """Return the launcher with the options that it keeps, and its program; counts become placeholders."""
    words = [*launch.prefix, *launch.head]
    if launch.launcher == "deepspeed" and nodes > 1:  # the file of hosts has the GPUs of each
        shape = {"num_gpus": ""}
    else:
        shape = _SHAPE.get(launch.launcher) or (
            _SHAPE_ON_ONE_NODE.get(launch.launcher, {}) if nodes == 1 else {}
        )
    for name, taken in launch.options:
        if name in _MEETING.split() or name in ("num_nodes", "nnodes"):
            continue
        placeholder = shape.get(name)
        if placeholder == "":
            continue
        if placeholder is None:
            words += taken
        elif len(taken) == 1:
            words.append(Word.of(f"{taken[0].text.partition('=')[0]}={placeholder}"))
        else:
            words += [taken[0], Word.of(placeholder)]
    is_module = launch.program[:1] == (Word.of("-m"),) and launch.launcher != "python"
    program = (
        (Word.of("--module"), *launch.program[1:]) if is_module and not launch.interpreter else launch.program
    )
    return [*words, *launch.interpreter, *program]
