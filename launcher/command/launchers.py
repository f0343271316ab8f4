"""How a training command becomes the command and the environment of each task of its job.

A GPU needs a process of its own, and these need RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT
(torch.distributed's env://).  Nothing here touches CUDA_VISIBLE_DEVICES: Slurm decides which GPUs a task sees,
and on a shared node local rank 0 is not always GPU 0.
"""

import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from ...errors import InputError
from ...estimator.job.framework import Bootstrap, Framework
from .processes.launcher import find_launcher, launcher_of
from .processes.program import WriteOut, find_program, programs_in
from .task import Task

# Below the ports that Linux hands to outgoing connections (32768 to 60999), one of which may be in use.
_PORTS = range(20_000, 32_768)
PORT_RULE = f"{_PORTS.start} + crc32(job id) % {len(_PORTS)}"
_OWN = ("MASTER_ADDR", "MASTER_PORT", "NNODES", "NPROC_PER_NODE", "FORCE_TORCHRUN")
_NOTHING: Mapping[str, str] = {}


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
    program, launcher = find_program(command), find_launcher(command)
    if stated is not None:
        if launcher and stated is not Bootstrap.SINGLE:
            raise InputError(
                f"bootstrap {stated} would start {launcher.name}, which starts the processes itself: set single, or give "
                "the command without it"
            )
        return stated
    if launcher or gpus == 1:
        return Bootstrap.SINGLE
    if framework is Framework.LIGHTNING:  # under torchrun it does not know that it is on Slurm
        return Bootstrap.PER_GPU
    starts_python = program.is_python or program.name.endswith(".py")
    return Bootstrap.TORCHRUN if starts_python else Bootstrap.SINGLE


def reaches_other_nodes(
    command: tuple[str, ...], texts: Mapping[str, str] = _NOTHING, write_out: WriteOut | None = None
) -> bool:
    """Return whether `command` starts its processes on the other nodes itself: then one task in all runs it.

    `texts` are those of the scripts that it names, and `write_out` is that of `programs_in`.

    >>> reaches_other_nodes(("mpirun", "-np", "16", "./train")), reaches_other_nodes(("torchrun", "train.py"))
    (True, False)
    >>> reaches_other_nodes(("bash", "t.sh"), {"t.sh": "deepspeed --hostfile hosts train.py"})
    True
    """
    found = [each for program in programs_in(command, texts, write_out) if (each := launcher_of(program))]
    return bool(found) and all(launcher.reaches_other_nodes for launcher in found)


def pythons_before(command: tuple[str, ...]) -> list[str]:
    """Return the Python commands in the text of a shell that stand before the one that torchrun starts.

    >>> pythons_before(("bash", "-c", "cd x; python prepare.py --n 1 && python train.py"))
    ['python prepare.py']
    """
    main = find_program(command).words
    others = [each.words for each in programs_in(command, {})[1:] if each.is_python and each.words != main]
    return [" ".join(words[:2]) for words in others]


def tasks_per_node(bootstrap: Bootstrap, gpus_per_node: int) -> int:
    """Return the tasks to ask Slurm for on each node."""
    return gpus_per_node if bootstrap is Bootstrap.PER_GPU else 1


def task_command(
    bootstrap: Bootstrap,
    command: tuple[str, ...],
    task: Task,
    gpus_per_node: int,
    own: Mapping[str, str] = _NOTHING,
) -> tuple[str, ...]:
    """Return the command of one task; `own` are variables that the user sets, such as MASTER_PORT.

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
    program = find_program(command)
    first, arguments = program.words[0], program.words[1:]
    address, port = meeting_point(task, {**own, **program.variables})
    rendezvous = (  # spelled with underscores, which torch < 2.0 knows too
        f"--nnodes={task.nodes}",
        f"--nproc_per_node={gpus_per_node}",
        f"--node_rank={task.node_rank}",
        f"--master_addr={address}",
        f"--master_port={port}",
    )
    if not program.is_python:
        return program.with_words((_torchrun_beside(first), *rendezvous, "--no_python", *program.words))
    agent = (first, "-m", "torch.distributed.run", *rendezvous)
    arguments = _without_unbuffered(arguments)
    if not arguments:
        raise InputError(
            f"command {' '.join(command)!r} names no program for Python to run: add a script, or -m MODULE"
        )
    if arguments[0] == "-m":
        return program.with_words((*agent, "--module", *arguments[1:]))
    if not arguments[0].startswith("-"):
        return program.with_words((*agent, *arguments))
    # other options of the interpreter are the workers'
    return program.with_words((*agent, "--no_python", *program.words))


def task_environment(
    bootstrap: Bootstrap,
    task: Task,
    gpus_per_node: int,
    environment: Mapping[str, str],
    own: Mapping[str, str] = _NOTHING,
) -> dict[str, str]:
    """Return the variables that are added to a task's `environment`, but for those in `own`, which the user sets.

    A program that starts its processes itself is told where it is: NNODES, NODE_RANK and NPROC_PER_NODE are those of
    LLaMA-Factory and ms-swift.  PYTHONUNBUFFERED, unless it is set, lets the log have each line as it is printed: it
    is a file.  OMP_NUM_THREADS, unless it is set, shares the task's CPUs among the processes it will hold: torchrun
    alone would say 1.
    """
    processes = 1 if bootstrap is Bootstrap.PER_GPU else max(gpus_per_node, 1)
    address, port = meeting_point(task, own)
    added = {"MASTER_ADDR": address, "MASTER_PORT": port}
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
    if bootstrap is Bootstrap.SINGLE and max(gpus_per_node, task.nodes) > 1:
        places = {"NNODES": str(task.nodes), "NPROC_PER_NODE": str(max(gpus_per_node, 1))}
        if task.nodes > 1 and gpus_per_node <= 1:
            places["FORCE_TORCHRUN"] = (
                "1"  # without it LLaMA-Factory starts a process of its own on each node
            )
        added |= {"NODE_RANK": str(task.node_rank)} | {n: v for n, v in places.items() if n not in own}
    return added


def own_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a user that stand in place of ours in every task; those of a run around us are no user's.

    >>> own_variables({"MASTER_PORT": "29501", "NODE_RANK": "0", "HOME": "/"})
    {'MASTER_PORT': '29501'}
    """
    if "CLUSTERPLAN_ATTEMPT" in environment:
        return {}
    return {name: environment[name] for name in _OWN if environment.get(name)}


def meeting_point(task: Task, own: Mapping[str, str]) -> tuple[str, str]:
    """Return the address and the port at which the ranks of a job meet: those in `own`, otherwise of the job."""
    return own.get("MASTER_ADDR") or task.first_host, own.get("MASTER_PORT") or str(master_port(task.job))


def master_port(job_id: str) -> int:
    """Return the port on which the ranks of a job meet: the same on every node, another for every job and array element.

    >>> master_port("4711"), master_port("4711_1"), master_port("4711_2")
    (21495, 29100, 25526)
    """
    return _PORTS[zlib.crc32(job_id.encode()) % len(_PORTS)]


def _without_unbuffered(arguments: tuple[str, ...]) -> tuple[str, ...]:
    # torchrun runs Python with -u of its own accord.
    while arguments[:1] == ("-u",):
        arguments = arguments[1:]
    return arguments


def _torchrun_beside(program: str) -> str:
    # pip puts both into one bin/, whose Python has the torch that the program uses.
    path = PurePosixPath(program)
    return str(path.with_name("torchrun")) if path.parent.name == "bin" else "torchrun"
