"""How a training command becomes the command and the environment of each task of its job.

A GPU needs a process of its own, and these need RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT
(torch.distributed's env://).  Nothing here touches CUDA_VISIBLE_DEVICES: Slurm decides which GPUs a task sees,
and on a shared node local rank 0 is not always GPU 0.
"""

import re
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from ...errors import InputError
from ...estimator.job.framework import Framework
from ...estimator.job.run import Bootstrap
from .task import Task

# Below the ports that Linux hands to outgoing connections (32768 to 60999), one of which may be in use.
_PORTS = range(20_000, 32_768)
PORT_RULE = f"{_PORTS.start} + crc32(job id) % {len(_PORTS)}"

# They start their processes on the other nodes too; the rest of the launchers do on their own node only.
_REACHING_OUT = {
    "srun",
    "mpirun",
    "mpiexec",
    "mpiexec.hydra",
    "orterun",
    "horovodrun",
    "deepspeed",
    "colossalai",
}
_LAUNCHERS = _REACHING_OUT | {"torchrun", "accelerate", "composer", "fabric"}
_LAUNCHER_MODULES = {
    "torch.distributed.run",
    "torch.distributed.launch",
    "accelerate.commands.launch",
    "deepspeed.launcher.runner",
}
# By which flag, file or variable launchers that start processes on their own node know of the others.
_NODE_FLAGS = {
    **dict.fromkeys(
        ("torchrun", "torch.distributed.run", "torch.distributed.launch"), ("--nnodes", "PET_NNODES")
    ),
    **dict.fromkeys(("accelerate", "accelerate.commands.launch"), ("--num_machines", "--config_file")),
}
# They run the program that follows their own options.
_WRAPPERS = {
    *("env", "nice", "numactl", "stdbuf", "taskset", "time"),
    *("uv", "poetry", "pipenv", "pixi", "conda", "mamba", "micromamba"),
    *("apptainer", "singularity"),
}


def choose_bootstrap(
    command: tuple[str, ...], framework: Framework | None, gpus: int, stated: Bootstrap | None = None
) -> Bootstrap:
    """Return how to start `command`: as stated, otherwise by its program; `framework` is None if it is not stated.

    A command that may start processes itself, such as a shell script, is run as it is.  Raises InputError if one
    launcher would start another.

    >>> choose_bootstrap(("python", "train.py"), None, gpus=8), choose_bootstrap(("python", "train.py"), Framework.LIGHTNING, gpus=8)
    (<Bootstrap.TORCHRUN: 'torchrun'>, <Bootstrap.PER_GPU: 'per-gpu'>)
    >>> choose_bootstrap(("accelerate", "launch", "train.py"), None, gpus=8)
    <Bootstrap.SINGLE: 'single'>
    """
    launcher = _launcher(command)
    if stated is not None:
        if launcher and stated is not Bootstrap.SINGLE:
            raise InputError(
                f"bootstrap {stated} would start {launcher}, which starts the processes itself: set single, or give "
                "the command without it"
            )
        return stated
    if launcher or gpus == 1:
        return Bootstrap.SINGLE
    if framework is Framework.LIGHTNING:  # under torchrun it does not know that it is on Slurm
        return Bootstrap.PER_GPU
    program = command[_program_at(command)]
    return Bootstrap.TORCHRUN if _is_python(program) or program.endswith(".py") else Bootstrap.SINGLE


def tasks_per_node(bootstrap: Bootstrap, gpus_per_node: int) -> int:
    """Return the tasks to ask Slurm for on each node."""
    return gpus_per_node if bootstrap is Bootstrap.PER_GPU else 1


def reaches_other_nodes(command: tuple[str, ...]) -> bool:
    """Return whether `command` starts its processes on the other nodes itself: then one task in all runs it.

    >>> reaches_other_nodes(("mpirun", "-np", "16", "./train")), reaches_other_nodes(("torchrun", "train.py"))
    (True, False)
    """
    return _launcher(command) in {*_REACHING_OUT, "deepspeed.launcher.runner"}


def alone_on_its_node(command: tuple[str, ...], environment: Mapping[str, str]) -> str | None:
    """Return the option without which the launcher in `command` trains on one node alone; None if nothing is missing.

    >>> alone_on_its_node(("torchrun", "train.py"), {}), alone_on_its_node(("torchrun", "--nnodes=2", "train.py"), {})
    ('torchrun without --nnodes', None)
    """
    launcher = _launcher(command) or ""
    needed, *others = _NODE_FLAGS.get(launcher, ("",))
    names = {word.partition("=")[0].replace("-", "_") for word in command} | environment.keys()
    has_node_flag = any(name.replace("-", "_") in names for name in (needed, *others))
    return f"{launcher} without {needed}" if needed and not has_node_flag else None


def task_command(
    bootstrap: Bootstrap, command: tuple[str, ...], task: Task, gpus_per_node: int
) -> tuple[str, ...]:
    """Return the command of one task.

    torchrun gets a static rendezvous: with c10d, rank 0 may be on another node than MASTER_ADDR
    (https://github.com/pytorch/pytorch/issues/137402).  Raises InputError for an interpreter without a program.

    >>> task = Task("4711", 0, 2, 0, 1, 0, 2, "gpu1", cpus=64)
    >>> " ".join(task_command(Bootstrap.TORCHRUN, ("python", "train.py", "--lr", "1e-4"), task, 8))
    ... # doctest: +NORMALIZE_WHITESPACE
    'python -m torch.distributed.run --nnodes=2 --nproc_per_node=8 --node_rank=0 --master_addr=gpu1
     --master_port=21495 train.py --lr 1e-4'
    """
    if bootstrap is not Bootstrap.TORCHRUN:
        return command
    at = _program_at(command)
    wrapper, program, arguments = command[:at], command[at], command[at + 1 :]
    rendezvous = (  # spelled with underscores, which torch < 2.0 knows too
        f"--nnodes={task.nodes}",
        f"--nproc_per_node={gpus_per_node}",
        f"--node_rank={task.node_rank}",
        f"--master_addr={task.first_host}",
        f"--master_port={master_port(task.job)}",
    )
    if not _is_python(program):
        return (*wrapper, _torchrun_beside(program), *rendezvous, "--no_python", program, *arguments)
    agent = (*wrapper, program, "-m", "torch.distributed.run", *rendezvous)
    arguments = _without_unbuffered(arguments)
    if not arguments:
        raise InputError(
            f"command {' '.join(command)!r} names no program for Python to run: add a script, or -m MODULE"
        )
    if arguments[0] == "-m":
        return (*agent, "--module", *arguments[1:])
    if not arguments[0].startswith("-"):
        return (*agent, *arguments)
    return (*agent, "--no_python", *command[at:])  # other options of the interpreter are the workers'


def task_environment(
    bootstrap: Bootstrap, task: Task, gpus_per_node: int, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that are added to a task's `environment`.

    PYTHONUNBUFFERED, unless it is set, lets the log have each line as it is printed: it is a file.
    OMP_NUM_THREADS, unless it is set, shares the task's CPUs among the processes it will hold: torchrun alone
    would say 1.
    """
    processes = 1 if bootstrap is Bootstrap.PER_GPU else max(gpus_per_node, 1)
    added = {"MASTER_ADDR": task.first_host, "MASTER_PORT": str(master_port(task.job))}
    if "PYTHONUNBUFFERED" not in environment:
        added["PYTHONUNBUFFERED"] = "1"
    if "OMP_NUM_THREADS" not in environment:
        added["OMP_NUM_THREADS"] = str(max(task.cpus // processes, 1))
    if bootstrap is Bootstrap.PER_GPU:
        added |= {
            "RANK": str(task.rank),
            "WORLD_SIZE": str(task.ranks),
            "LOCAL_RANK": str(task.local_rank),
            "LOCAL_WORLD_SIZE": str(task.local_ranks),
            "NODE_RANK": str(task.node_rank),
        }
    return added


def master_port(job_id: str) -> int:
    """Return the port on which the ranks of a job meet: the same on every node, another for every job and array element.

    >>> master_port("4711"), master_port("4711_1"), master_port("4711_2")
    (21495, 29100, 25526)
    """
    return _PORTS[zlib.crc32(job_id.encode()) % len(_PORTS)]


def after_accelerate_launch(command: tuple[str, ...]) -> int | None:
    """Return the index of the first word after `accelerate launch`; None without it."""
    for at, word in enumerate(command):
        if word == "accelerate.commands.launch":
            return at + 1
        if _name(word) == "accelerate" and command[at + 1 : at + 2] == ("launch",):
            return at + 2
    return None


def _program_at(command: tuple[str, ...]) -> int:
    """Return the index of the program: behind `env A=1` or `uv run`, if a known launcher or Python follows."""
    if _name(command[0]) in _WRAPPERS:
        for at, word in enumerate(command[1:], 1):
            if (_is_python(word) or _name(word) in _LAUNCHERS) and command[at - 1] != "--with":
                return at
    return 0


def _launcher(command: tuple[str, ...]) -> str | None:
    """Return the launcher that `command` starts with; None without one."""
    at = _program_at(command)
    program, arguments = command[at], command[at + 1 :]
    if _name(program) in _LAUNCHERS:
        return _name(program)
    options = _without_unbuffered(arguments)
    if _is_python(program) and options[:1] == ("-m",) and options[1:2] and options[1] in _LAUNCHER_MODULES:
        return options[1]
    return None


def _without_unbuffered(arguments: tuple[str, ...]) -> tuple[str, ...]:
    # torchrun runs Python with -u of its own accord.
    while arguments[:1] == ("-u",):
        arguments = arguments[1:]
    return arguments


def _torchrun_beside(program: str) -> str:
    # pip puts both into one bin/, whose Python has the torch that the program uses.
    path = PurePosixPath(program)
    return str(path.with_name("torchrun")) if path.parent.name == "bin" else "torchrun"


def _is_python(word: str) -> bool:
    return re.fullmatch(r"python(\d+(\.\d+)*)?", _name(word)) is not None


def _name(word: str) -> str:
    return word.rsplit("/", 1)[-1]
