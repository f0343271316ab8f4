"""Launchers, which start the processes of a training: which one a command calls, with which of its own options.

Only words before the script are the launcher's: `accelerate launch train.py --num_machines 2` tells the script alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .program import Program, find_program
from .wrappers import base_name

# With the words between the launcher and its options.
_VERBS = {
    "accelerate": ("launch",),
    "fabric": ("run", "model"),
    "lightning": ("run", "model"),
    "colossalai": ("run",),
    "tune": ("run",),
    "axolotl": ("train",),
    "swift": ("sft", "pt", "rlhf"),
    "megatron": ("sft", "pt", "rlhf"),
    "llamafactory-cli": ("train",),
    "lmf": ("train",),
}
_PLAIN = ("torchrun", "deepspeed", "ds", "composer", "horovodrun")
_MPI = ("mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun")
_MODULES = {
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torch.distributed.launch",
    "accelerate.commands.launch": "accelerate",
    "deepspeed.launcher.runner": "deepspeed",
    "horovod.runner.launch": "horovodrun",
    "composer.cli.launcher": "composer",
}
# Options without a value, as the launchers' parsers have them (torch 2, accelerate 1, deepspeed 0.1x, Open MPI 5).
_SWITCHES = {
    "torchrun": "--standalone --use_env --no_python --run_path -m --module",
    "accelerate": (
        "--cpu --multi_gpu --tpu --ipex --use_deepspeed --use_fsdp --use_megatron_lm --use_xpu --quiet -q --debug --same_network "
        "--no_python -m --module --enable_cpu_affinity --fsdp_cpu_ram_efficient_loading --main_training_function"
    ),
    "deepspeed": (
        "--no_ssh --no_ssh_check --force_multi --save_pid --no_python --no_local_rank --enable_each_rank_log --module -m "
        "--bind_cores_to_rank --elastic_training"
    ),
    "mpirun": "--allow-run-as-root --oversubscribe --use-hwthread-cpus --tag-output -tag-output --report-bindings -q -v",
}
_SWITCHES["torch.distributed.launch"] = _SWITCHES["torchrun"]
_SWITCHES["tune"] = _SWITCHES["torchrun"]


@dataclass(frozen=True)
class Launcher:
    """A launcher in a command: its `name`, and its own options with their values, dashes inside as underscores."""

    name: str
    options: Mapping[str, str]
    program: Program

    def has(self, *names: str) -> bool:
        """Return whether one of its options has such a name."""
        return not self.options.keys().isdisjoint(names)

    @property
    def is_mpi(self) -> bool:
        """Return whether it is one of MPI."""
        return self.name in _MPI

    @property
    def reaches_other_nodes(self) -> bool:
        """Return whether it starts processes on the other nodes itself: then one task in all runs it."""
        if self.name == "deepspeed":
            return not self.has("--no_ssh")
        return self.is_mpi or self.name in ("srun", "horovodrun", "colossalai")


def find_launcher(command: tuple[str, ...]) -> Launcher | None:
    """Return the launcher that `command` calls in the end; None without one.

    >>> launcher = find_launcher(("bash", "-c", "exec torchrun --nnodes=2 --node-rank $NODE_RANK train.py --nnodes 9"))
    >>> launcher.name, launcher.options
    ('torchrun', {'--nnodes': '2', '--node_rank': '$NODE_RANK'})
    """
    return launcher_of(find_program(command))


def launcher_of(program: Program) -> Launcher | None:
    """Return the launcher that the program is; None if it is another program."""
    if program.is_python:
        arguments = program.words[1:]
        while arguments[:1] == ("-u",):
            arguments = arguments[1:]
        module = arguments[1] if arguments[:1] == ("-m",) and len(arguments) > 1 else ""
        name = _MODULES.get(module)
        return Launcher(name, _options(name, arguments[2:]), program) if name else None
    name = program.name
    if name in ("torchrun", "srun") or name in _PLAIN or name in _MPI:
        name = "deepspeed" if name == "ds" else name
        return Launcher(name, _options(name, program.words[1:]), program)
    if program.words[1:2] and program.words[1] in _VERBS.get(name, ()):
        start = 3 if program.words[2:3] == ("model",) else 2
        return Launcher(name, _options(name, program.words[start:]), program)
    return None


def after_accelerate_launch(command: tuple[str, ...]) -> int | None:
    """Return the index of the first word after `accelerate launch`; None without it."""
    for at, word in enumerate(command):
        if word == "accelerate.commands.launch":
            return at + 1
        if base_name(word) == "accelerate" and command[at + 1 : at + 2] == ("launch",):
            return at + 2
    return None


def _options(name: str, words: Sequence[str]) -> dict[str, str]:
    """Return the options before the first word that is neither an option nor the value of one."""
    switches = _SWITCHES.get("mpirun" if name in _MPI else name, "").split()
    options, at = dict[str, str](), 0
    while at < len(words) and words[at].startswith("-"):
        option, equals, value = words[at].partition("=")
        option = option[:2] + option[2:].replace("-", "_")
        if option == "--":
            break
        following = words[at + 1] if at + 1 < len(words) else ""
        takes_next = not equals and option not in switches and words[at] not in switches
        options[option] = value if equals else following if takes_next else ""
        at += 2 if takes_next else 1
    return options
