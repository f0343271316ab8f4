"""What a launcher lacks to train on all nodes of a job, and on all GPUs of a node."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .launcher import Launcher

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOSTS = {
    *(
        "-H",
        "--host",
        "-host",
        "--hosts",
        "-hosts",
        "-f",
        "--hostfile",
        "-hostfile",
        "--machinefile",
        "-machinefile",
    ),
    *("--host-discovery-script", "--default-hostfile"),
}
_ENVIRONMENT = (
    "llamafactory-cli",
    "lmf",
    "swift",
    "megatron",
)  # they read NNODES, NODE_RANK and NPROC_PER_NODE
RENDEZVOUS = {
    "torchrun": "--nnodes=$NNODES --node_rank=$NODE_RANK --master_addr=$MASTER_ADDR --master_port=$MASTER_PORT",
    "accelerate": "--num_machines $NNODES --machine_rank $NODE_RANK --main_process_ip $MASTER_ADDR --main_process_port $MASTER_PORT",
    "deepspeed": "--hostfile FILE",
    "composer": "--world_size N --node_rank $NODE_RANK --master_addr $MASTER_ADDR --master_port $MASTER_PORT",
    "fabric": "--num-nodes=$NNODES --node-rank=$NODE_RANK --main-address=$MASTER_ADDR --main-port=$MASTER_PORT",
}
RENDEZVOUS |= dict.fromkeys(("torch.distributed.launch", "tune"), RENDEZVOUS["torchrun"])
RENDEZVOUS["lightning"] = RENDEZVOUS["fabric"]


@dataclass(frozen=True)
class Surroundings:
    """The job of a launcher: its nodes and GPUs, the variables it gets, and its config file, None if it is not known."""

    nodes: int
    gpus: int
    variables: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None

    @property
    def gpus_per_node(self) -> int:
        """Return the GPUs of each node."""
        return -(-self.gpus // self.nodes)


def missing_on_nodes(launcher: Launcher, around: Surroundings) -> str | None:
    """Return why the launcher would train on one node of several; None if nothing is missing.

    >>> from .launcher import find_launcher
    >>> missing_on_nodes(find_launcher(("torchrun", "--nnodes=2", "train.py")), Surroundings(2, 8))
    'torchrun without --node_rank or --rdzv_endpoint'
    """
    if around.nodes == 1 or launcher.is_open:
        return None
    if launcher.name in _ENVIRONMENT:
        nodes = around.variables.get("NNODES", "")
        return f"{launcher.name} with NNODES={nodes}" if _differs(nodes, around.nodes) else None
    by_itself = _CHECKS_BY_ITSELF.get(launcher.name, _lacks_hosts if launcher.is_mpi else None)
    in_job = _CHECKS_IN_JOB.get(launcher.name, ())
    lacks = (check(launcher, around) for check in in_job)
    lack = by_itself(launcher) if by_itself else next(filter(None, lacks), None)
    return lack and f"{launcher.name} {lack}"


def unused_gpus(launcher: Launcher, around: Surroundings) -> str | None:
    """Return why the launcher would leave GPUs idle on each node; None if it does not.

    >>> from .launcher import find_launcher
    >>> unused_gpus(find_launcher(("torchrun", "train.py")), Surroundings(1, 4))
    'torchrun without --nproc_per_node starts one process for 4 GPUs: give --nproc_per_node=4'
    """
    per_node, options, name = around.gpus_per_node, launcher.options, launcher.name
    if launcher.is_open:
        return None
    if name == "accelerate":
        count = options.get("--num_processes", (around.config or {}).get("num_processes"))
        return _wrong_count(name, "--num_processes", count, around.gpus, "of all nodes")
    if name == "deepspeed":
        option, count = "--num_gpus", options.get("--num_gpus")
        if included := re.fullmatch(r"localhost:([\d,]+)", options.get("--include", "")):
            option, count = f"--include {included[0]}:", str(len(included[1].split(",")))
        return _wrong_count(name, option, count, per_node, "per node")
    if name not in ("torchrun", "torch.distributed.launch", "tune"):
        return None
    count = options.get("--nproc_per_node", around.variables.get("PET_NPROC_PER_NODE"))
    if count is None and per_node > 1:
        return f"{name} without --nproc_per_node starts one process for {per_node} GPUs: give --nproc_per_node={per_node}"
    return _wrong_count(name, "--nproc_per_node", count, per_node, "per node")


def _wrong_count(name: str, option: str, count: object, wanted: int, each: str) -> str | None:
    if not str(count).isdecimal() or int(str(count)) == wanted:
        return None
    wrong = "leaves GPUs idle" if int(str(count)) < wanted else "starts more processes than there are GPUs"
    return f"{name} with {option} {count} {wrong}: the job has {wanted} {each}"


def _torchrun_value(launcher: Launcher, around: Surroundings, name: str) -> str:
    return launcher.options.get(f"--{name}", around.variables.get(f"PET_{name.upper()}", ""))


def _torchrun_nodes(launcher: Launcher, around: Surroundings) -> str | None:
    nodes = _torchrun_value(launcher, around, "nnodes")
    if launcher.has("--standalone"):
        return "--standalone"
    if not nodes:
        return "without --nnodes"
    return f"--nnodes={nodes}" if _differs(nodes.rpartition(":")[2], around.nodes) else None


def _torchrun_rendezvous(launcher: Launcher, around: Surroundings) -> str | None:
    endpoint, backend, rank, address = (
        _torchrun_value(launcher, around, name)
        for name in ("rdzv_endpoint", "rdzv_backend", "node_rank", "master_addr")
    )
    if backend in ("", "static"):
        missing = "--rdzv_backend=c10d" if endpoint else "--node_rank or --rdzv_endpoint"
        if not rank:
            return f"without {missing}"
        if rank.isdecimal():
            return f"--node_rank={rank}, which is the same on each node,"
        missing, place = "--master_addr", address or endpoint
    else:
        missing, place = "--rdzv_endpoint", endpoint
    if place in LOOPBACK or place.rpartition(":")[0] in LOOPBACK:
        return f"meets at {place}, which is another place on each node, and"
    return None if place else f"without {missing}"


def _accelerate_machines(launcher: Launcher, around: Surroundings) -> str | None:
    machines = _accelerate_value(launcher, around, "num_machines")
    if _is_config_unread(launcher, around):
        return None
    if not machines:
        return "without --num_machines"
    return f"with num_machines {machines}" if _differs(machines, around.nodes) else None


def _accelerate_rendezvous(launcher: Launcher, around: Surroundings) -> str | None:
    if _is_config_unread(launcher, around):
        return None
    address, rank = (
        _accelerate_value(launcher, around, "main_process_ip"),
        launcher.options.get("--machine_rank"),
    )
    if _accelerate_value(launcher, around, "rdzv_backend") in ("", "static"):
        fixed = (around.config or {}).get("machine_rank")
        if rank is None:
            where = "" if fixed is None else f", and its config file says {fixed} on each node, it"
            return f"without --machine_rank{where}"
        if rank.isdecimal():
            return f"--machine_rank {rank}, which is the same on each node,"
    if address in LOOPBACK:
        return f"--main_process_ip {address}, which is another place on each node,"
    return None if address else "without --main_process_ip"


def _accelerate_value(launcher: Launcher, around: Surroundings, name: str) -> str:
    return launcher.options.get(f"--{name}", str((around.config or {}).get(name, "")))


def _is_config_unread(launcher: Launcher, around: Surroundings) -> bool:
    return launcher.has("--config_file") and around.config is None and not launcher.has("--num_machines")


def _deepspeed(launcher: Launcher) -> str | None:
    if launcher.has("--no_ssh"):
        rank = launcher.options.get("--node_rank", "")
        if not rank or rank.isdecimal():
            return (
                f"--node_rank={rank}, which is the same on each node,"
                if rank
                else "--no_ssh without --node_rank"
            )
        return None if launcher.has("--master_addr") else "--no_ssh without --master_addr"
    by_slurm = launcher.options.get("--launcher", "").lower() == "slurm"
    return (
        None
        if launcher.has("--hostfile", "-H") or by_slurm
        else "without --hostfile, --no_ssh or --launcher slurm"
    )


def _lacks_hosts(launcher: Launcher) -> str | None:
    has_hosts = any(word.partition("=")[0] in _HOSTS for word in launcher.program.words)
    return None if has_hosts else "without --hostfile or --host"


def _fabric(launcher: Launcher) -> str | None:
    missing = [name for name in ("--num_nodes", "--node_rank", "--main_address") if not launcher.has(name)]
    return f"without {missing[0]}" if missing else None


def _lacks(option: str) -> Callable[[Launcher], str | None]:
    return lambda launcher: None if launcher.has(option) else f"without {option}"


def _axolotl(launcher: Launcher) -> str | None:
    names = {word.partition("=")[0].replace("_", "-") for word in launcher.program.words}
    return None if names & {"--num-machines", "--nnodes"} else "without --num_machines or --nnodes"


def _differs(count: str, nodes: int) -> bool:
    return count.isdecimal() and int(count) != nodes


_CHECKS_IN_JOB: Mapping[str, tuple[Callable[[Launcher, Surroundings], str | None], ...]] = {
    **dict.fromkeys(
        ("torchrun", "torch.distributed.launch", "tune"), (_torchrun_nodes, _torchrun_rendezvous)
    ),
    "accelerate": (_accelerate_machines, _accelerate_rendezvous),
}
_CHECKS_BY_ITSELF: Mapping[str, Callable[[Launcher], str | None]] = {
    "deepspeed": _deepspeed,
    **dict.fromkeys(("horovodrun", "colossalai"), _lacks_hosts),
    "composer": _lacks("--world_size"),
    **dict.fromkeys(("fabric", "lightning"), _fabric),
    "axolotl": _axolotl,
}
