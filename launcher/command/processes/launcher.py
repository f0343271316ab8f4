"""Launchers, which start the processes of a training: which one a command calls, with which of its own options.

Only words before the script are the launcher's: `accelerate launch train.py --num_machines 2` tells the script alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
    "llamafactory-cli": ("train", "sft", "dpo", "rm"),
    "lmf": ("train", "sft", "dpo", "rm"),
}
_PLAIN = ("torchrun", "deepspeed", "ds", "composer", "horovodrun", "accelerate-launch")
_MPI = ("mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun")
_OTHER_NAMES = {"ds": "deepspeed", "accelerate-launch": "accelerate"}
_COMMAND_LINES = {  # modules that take the words of a program with verbs
    "accelerate": "accelerate",
    "accelerate.commands.accelerate_cli": "accelerate",
    "torchtune._cli.tune": "tune",
    "llamafactory.cli": "llamafactory-cli",
    "lightning.fabric.cli": "fabric",
    "lightning_fabric.cli": "fabric",
    "axolotl.cli.main": "axolotl",
    "swift.cli.main": "swift",
}
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
    """A launcher in a command: its `name`, and its own options with their values, dashes inside as underscores.

    `is_open` if a variable stands among them, which may hold any other.
    """

    name: str
    options: Mapping[str, str]
    program: Program
    is_open: bool = False

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
        return _started_by_python(program)
    name, words = program.name, program.words
    if name in ("torchrun", "srun") or name in _PLAIN or name in _MPI:
        return _launcher(_OTHER_NAMES.get(name, name), words[1:], program)
    if words[1:2] and words[1] in _VERBS.get(name, ()):
        return _launcher(name, words[3 if words[2:3] == ("model",) else 2 :], program)
    return None


def _started_by_python(program: Program) -> Launcher | None:
    """Return the launcher that Python is given as a module, or as the file that its name stands for."""
    arguments = program.words[1:]
    while arguments[:1] == ("-u",):
        arguments = arguments[1:]
    if arguments[:1] != ("-m",):
        is_file = bool(arguments) and not arguments[0].startswith("-")
        inner = launcher_of(replace(program, words=arguments)) if is_file else None
        return inner and replace(inner, program=program)
    module, words = "".join(arguments[1:2]), arguments[2:]
    if name := _MODULES.get(module):
        return _launcher(name, words, program)
    name = _COMMAND_LINES.get(module)
    return _launcher(name, words[1:], program) if name and words[:1] and words[0] in _VERBS[name] else None


def _launcher(name: str, words: Sequence[str], program: Program) -> Launcher:
    options = _options(name, words)
    return Launcher(name, {k: v for k, v in options.items() if k}, program, is_open="" in options)


def after_accelerate_launch(command: tuple[str, ...]) -> int | None:
    """Return the index of the first word after `accelerate launch`; None without it."""
    for at, word in enumerate(command):
        if word == "accelerate.commands.launch" or base_name(word) == "accelerate-launch":
            return at + 1
        if base_name(word) in ("accelerate", "accelerate.commands.accelerate_cli") and command[
            at + 1 : at + 2
        ] == ("launch",):
            return at + 2
    return None


def _options(name: str, words: Sequence[str]) -> dict[str, str]:
    """Return the options before the first word that is neither an option nor the value of one; "" is a variable there."""
    switches = _SWITCHES.get("mpirun" if name in _MPI else name, "").split()
    options, at = dict[str, str](), 0
    while at < len(words) and words[at].startswith(("-", "$", '"$', '"-', "'-")):
        if "$" in words[at][:2]:
            options[""], at = words[at], at + 1
            continue
        option, equals, value = words[at].strip("'\"").partition("=")
        option = option[:2] + option[2:].replace("-", "_")
        if option == "--":
            break
        following = words[at + 1] if at + 1 < len(words) else ""
        takes_next = not equals and option not in switches and words[at] not in switches
        options[option] = (value if equals else following if takes_next else "").strip("'\"")
        at += 2 if takes_next else 1
    return options
