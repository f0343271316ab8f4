"""How many GPUs and nodes a launch line states.  Pure."""

from collections.abc import Iterator, Mapping

from .claims import GpuClaim
from .line import LaunchLine

# The options of a launcher that state GPUs, and what they count.
_PER_NODE = {
    "torchrun": ("nproc_per_node",),
    "tune": ("nproc_per_node",),
    "deepspeed": ("num_gpus",),
    "colossalai": ("nproc_per_node",),
    "composer": ("nproc", "n"),
    "fabric": ("devices",),
    "lightning": ("devices",),
}
_NODES = {
    "torchrun": ("nnodes",),
    "tune": ("nnodes",),
    "fabric": ("num_nodes",),
    "lightning": ("num_nodes",),
    "deepspeed": ("num_nodes",),
    "accelerate": ("num_machines",),
    "axolotl": ("nnodes", "num_machines"),
}
_ALL = {"accelerate": ("num_processes",), "axolotl": ("num_processes",), "mpirun": ("np", "n")}


def claim_gpus(launch: LaunchLine, script: str) -> Iterator[GpuClaim]:
    """Yield what the options of the launcher say, and the variables that stand for them.

    torchrun without numbers starts one process on one node; the others take every GPU that they see.
    """
    place = launch.place(script)
    nodes = _count(launch, *_NODES.get(launch.launcher, ()))
    named = [key for keys in (_PER_NODE, _NODES, _ALL) for key in keys.get(launch.launcher, ())]
    is_stated = any(key in named for key, _ in launch.options)
    source = launch.source(script, *named) if is_stated else f"{place}: {launch.launcher} without a number"
    if launch.launcher == "axolotl" and (per_node := _count(launch, "nproc_per_node")):
        yield GpuClaim(per_node * (nodes or 1), nodes or 1, f"{place}: --nproc_per_node {per_node}")
    elif launch.launcher in _PER_NODE:
        yield from _per_node(launch, nodes, source)
    elif launch.launcher in _ALL and (gpus := _count(launch, *_ALL[launch.launcher])):
        yield GpuClaim(gpus, nodes, source)
    elif nodes:
        yield GpuClaim(None, nodes, source)
    environment = variables(launch)
    in_environment = environment.get("NPROC_PER_NODE", "")
    if (
        launch.launcher in ("swift", "megatron", "llamafactory-cli", "lmf", "xtuner")
        and in_environment.isdecimal()
    ):
        count = int(environment["NNODES"]) if environment.get("NNODES", "").isdecimal() else 1
        yield GpuClaim(int(in_environment) * count, count, f"{place}: NPROC_PER_NODE={in_environment}")


def _per_node(launch: LaunchLine, nodes: int | None, source: str) -> Iterator[GpuClaim]:
    keys = _PER_NODE[launch.launcher]
    stated = launch.option(*keys)
    if launch.launcher not in ("torchrun", "tune"):
        if (included := launch.option("include", "i")) and stated is None:
            hosts = [host.partition(":")[2] for host in included.split("@")]
            if all(hosts):
                gpus = sum(len(host.split(",")) for host in hosts)
                yield GpuClaim(gpus, len(hosts), f"{source.partition(':')[0]}: --include {included}")
        elif (count := _count(launch, *keys)) is not None:
            yield GpuClaim(count * (nodes or 1), nodes, source)
        return
    is_open = launch.option("nnodes") is not None and nodes is None
    if stated is None and not is_open:
        per_node = variables(launch).get("PET_NPROC_PER_NODE", "1")
        yield GpuClaim(int(per_node) * (nodes or 1) if per_node.isdecimal() else None, nodes or 1, source)
    elif (count := _count(launch, *keys)) is not None:
        yield GpuClaim(None if is_open else count * (nodes or 1), None if is_open else nodes or 1, source)
    else:
        yield GpuClaim(None, None if is_open else nodes or 1, source)


def gpus_hinted(launch: LaunchLine, script: str) -> GpuClaim | None:
    """Return the GPUs in CUDA_VISIBLE_DEVICES, which count where nothing else does."""
    visible = variables(launch).get("CUDA_VISIBLE_DEVICES", "")
    if not visible or not all(part.strip().isdecimal() for part in visible.split(",")):
        return None
    source = f"{script} line {launch.command.line}: CUDA_VISIBLE_DEVICES={visible}"
    return GpuClaim(len(visible.split(",")), None, source)


def nodes_in_doubt(launch: LaunchLine) -> str | None:
    """Return the range of nodes that torchrun is given, as `1:4`; None if it is a number."""
    nodes = launch.option(*_NODES.get(launch.launcher, ("",))) or ""
    first, colon, last = nodes.partition(":")
    return nodes if colon and first.isdecimal() and last.isdecimal() and first != last else None


def variables(launch: LaunchLine) -> Mapping[str, str]:
    """Return the variables that stand before a launch line, or were exported, as far as they are known."""
    both = (*launch.command.exports, *launch.environment)
    return {name: value.text for name, value in both if value.is_known}


def _count(launch: LaunchLine, *names: str) -> int | None:
    text = (launch.option(*names) or "").strip("'\"") if names else ""
    first, colon, last = text.partition(":")
    text = first if colon and first == last else text
    return int(text) if text.isdecimal() and int(text) else None
