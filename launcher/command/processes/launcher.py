"""Launchers, which start the processes of a training: which one a command calls, with which of its own options.

Only words before the script are the launcher's: `accelerate launch train.py --num_machines 2` tells the script alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .program import PYTHON, Program, find_program
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
MPI = ("mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun")
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
        "--cpu --multi_gpu --tpu --ipex --mps --use_deepspeed --use_fsdp --use_megatron_lm --use_parallelism_config --use_xpu "
        "--use_cpu --quiet -q --debug --same_network --no_python -m --module --enable_cpu_affinity --downcast_bf16 "
        "--dynamo_use_fullgraph --dynamo_use_dynamic --dynamo_use_regional_compilation"
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
        return self.name in MPI

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
    parts = split_launcher(program.words)
    if parts is None:
        return None
    values = {option.name: option.value(program.words) for option in parts.options if option.name}
    return Launcher(parts.name, values, program, is_open=any(not option.name for option in parts.options))


class OptionWords(NamedTuple):
    """Where an option of a launcher stands with its value; its name has underscores inside, and is "" of a variable."""

    name: str
    start: int
    end: int

    def value(self, words: Sequence[str]) -> str:
        """Return the value among the words; "" of a switch."""
        _, equals, value = words[self.start].partition("=")
        following = words[self.end - 1] if self.end - self.start > 1 else ""
        return (value if equals else following).strip("'\"")


class LauncherWords(NamedTuple):
    """A launcher by its name, the index behind its own words, its options, and the index of the program behind them."""

    name: str
    first: int
    options: tuple[OptionWords, ...]
    program: int


def split_launcher(words: Sequence[str]) -> LauncherWords | None:
    """Return where the parts of a launcher's command line stand; None if the first word starts no launcher.

    >>> split_launcher("accelerate launch --multi_gpu --num_processes 4 t.py --lr 1".split())
    ... # doctest: +NORMALIZE_WHITESPACE
    LauncherWords(name='accelerate', first=2, options=(OptionWords(name='--multi_gpu', start=2, end=3),
    OptionWords(name='--num_processes', start=3, end=5)), program=5)
    """
    name = base_name(words[0]) if words else ""
    if PYTHON.fullmatch(name):
        return _started_by_python(words)
    if name in ("torchrun", "srun") or name in _PLAIN or name in MPI:
        return _split(_OTHER_NAMES.get(name, name), words, 1)
    if words[1:2] and words[1] in _VERBS.get(name, ()):
        return _split(name, words, 3 if words[2:3] == ("model",) else 2)
    return None


def _started_by_python(words: Sequence[str]) -> LauncherWords | None:
    """Return the launcher that Python is given as a module, or as the file that its name stands for."""
    at = 1
    while words[at : at + 1] == ("-u",) or words[at : at + 1] == ["-u"]:
        at += 1
    if "".join(words[at : at + 1]) != "-m":
        inner = split_launcher(words[at:]) if at < len(words) and not words[at].startswith("-") else None
        return inner and _split(inner.name, words, inner.first + at)
    module = "".join(words[at + 1 : at + 2])
    if name := _MODULES.get(module):
        return _split(name, words, at + 2)
    name = _COMMAND_LINES.get(module)
    verb = "".join(words[at + 2 : at + 3])
    return _split(name, words, at + 3) if name and verb in _VERBS[name] else None


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


def _split(name: str, words: Sequence[str], first: int) -> LauncherWords:
    """Return the options up to the first word that is neither one nor the value of one; a variable may hold any."""
    switches = _SWITCHES.get("mpirun" if name in MPI else name, "").split()
    options, at = list[OptionWords](), first
    while at < len(words) and words[at].startswith(("-", "$", '"$', '"-', "'-")):
        if "$" in words[at][:2]:
            options.append(OptionWords("", at, at + 1))
            at += 1
            continue
        option, equals, _ = words[at].strip("'\"").partition("=")
        option = option[:2] + option[2:].replace("-", "_")
        if option == "--":
            break
        takes_next = not equals and option not in switches and words[at] not in switches
        options.append(OptionWords(option, at, min(at + (2 if takes_next else 1), len(words))))
        at = options[-1].end
    return LauncherWords(name, first, tuple(options), at)
