"""The other commands of a script: those that set up the training's environment are kept, the rest is named.  Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..shell.state import ShellCommand
from .line import LaunchLine, split_launch_line

_KEPT = """
module ml source . conda mamba micromamba spack eval ulimit mkdir cd unset cp rsync tar unzip ln export
"""
_SAYS_NOTHING = """
nvidia-smi hostname sleep env ls whoami squeue scontrol ps free df du nvcc pip which type git uname printenv cat tee
grep head tail wc id sync nproc lscpu numactl ibstat rocm-smi [ test
"""
# Clusterplan sets them, or they are counts that became settings.
OWN_VARIABLES = {
    *(
        "MASTER_ADDR",
        "MASTER_PORT",
        "NODE_RANK",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "NNODES",
    ),
    *(
        "NPROC_PER_NODE",
        "CUDA_VISIBLE_DEVICES",
        "PET_NNODES",
        "PET_NPROC_PER_NODE",
        "PET_NODE_RANK",
        "MACHINE_RANK",
    ),
}
# Names of programs that are not the training.
_BESIDE = """
eval evaluate evaluation test infer inference convert merge preprocess prepare download tokenize generate serve
export check benchmark make build process split install plot visualize sample upload
"""


@dataclass(frozen=True)
class Launches:
    """The launch line of the training, the commands before it that are kept, and remarks on all the others."""

    training: LaunchLine
    setup: tuple[ShellCommand, ...]
    exits_on_error: bool
    others: tuple[LaunchLine, ...]
    remarks: tuple[str, ...]


def choose_launch(commands: Sequence[ShellCommand], script: str) -> Launches | None:
    """Return the line that trains: the first with a launcher, else the first program; None if nothing is started.

    Programs whose name says that they evaluate, convert or prepare are not taken for the training.
    """
    launches = [launch for command in commands if (launch := split_launch_line(command))]
    candidates = [launch for launch in launches if not _is_beside(launch)] or launches
    if not candidates:
        return None
    training = min(candidates, key=lambda launch: not _has_launcher(launch))
    at = next(i for i, command in enumerate(commands) if command is training.command)
    assigned = [f"{name}={value.text}" for name, value in training.environment]
    texts = [*(word.text for word in training.command.words), *assigned]
    own_words = {part for text in texts for part in _plain_words(text)}
    setup = [
        command for command in commands[:at] if _is_kept(command) and not _is_part_of(command, own_words)
    ]
    others = tuple(
        launch
        for launch in candidates
        if launch is not training and launch.command.line != training.command.line
    )
    remarks = list(_name_left_out(commands, at, training, others, script))
    sets = [word.text for command in commands[:at] if command.program == "set" for word in command.words[1:]]
    exits = any(text.startswith("-") and "e" in text and text != "-o" for text in sets) or "errexit" in sets
    exports = tuple(
        (name, value) for name, value in training.command.exports if not _are_words_of(value.text, own_words)
    )
    training = replace(training, command=replace(training.command, exports=exports))
    return Launches(training, tuple(setup), exits, others, tuple(remarks))


def _is_beside(launch: LaunchLine) -> bool:
    name = launch.program_name.rsplit("/", 1)[-1].lower()
    for mark in "-.":
        name = name.replace(mark, "_")
    parts = set(name.split("_"))
    return not parts.isdisjoint(_BESIDE.split()) and parts.isdisjoint(
        {"train", "finetune", "pretrain", "sft"}
    )


def _has_launcher(launch: LaunchLine) -> bool:
    return launch.launcher != "python" or launch.srun is not None


def _is_kept(command: ShellCommand) -> bool:
    if command.doubt or command.program not in _KEPT.split():
        return False
    if command.program == "export":
        return any(word.text.partition("=")[0] not in OWN_VARIABLES for word in command.words[1:])
    return True


def _is_part_of(command: ShellCommand, own_words: set[str]) -> bool:
    """Whether it exports nothing but words of the launch line itself, as `export CMD="train.py ..."` does."""
    values = [word.text.partition("=")[2] for word in command.words[1:]]
    return command.program == "export" and all(_are_words_of(value, own_words) for value in values)


def _are_words_of(value: str, own_words: set[str]) -> bool:
    """Whether a variable became a part of the line: a launcher, a program or options, not a name that it has as well."""
    words = _plain_words(value)
    is_part = any(word.startswith("-") or word.endswith(".py") for word in words)
    return is_part and len(words) > 1 and own_words.issuperset(words)


def _plain_words(text: str) -> list[str]:
    return [part.replace("\\", "").strip("'\"") for part in text.split()]


def _name_left_out(
    commands: Sequence[ShellCommand],
    at: int,
    training: LaunchLine,
    others: Sequence[LaunchLine],
    script: str,
) -> Iterator[str]:
    own = {
        word.text.partition("=")[0]
        for command in commands[:at]
        if command.program == "export"
        for word in command.words[1:]
    } | {name for name, _ in training.environment}
    if set_by_us := sorted(own & OWN_VARIABLES):
        yield f"{', '.join(set_by_us)}: left out, clusterplan sets them"
    broken = [command for command in commands if command.program.startswith("-")]
    if broken:
        yield (
            f"{script} line {broken[0].line}: {_shortened(broken[0].text)}: a shell takes this line for a command, because the "
            "one above it does not end in a backslash, or a comment stands between: its options do not reach the program"
        )
    elsewhere = [*broken, *(other.command for other in others)]
    for number, command in enumerate(commands):
        if any(command is other for other in elsewhere):
            continue
        is_named = command.program in _SAYS_NOTHING.split() or command.program in ("export", "set")
        if number == at or is_named or (number < at and _is_kept(command)) or not command.words:
            continue
        if command.program == "wait" or (
            command.program in _KEPT.split() and number > at and not command.doubt
        ):
            continue
        why = f": {command.doubt}" if command.doubt else ""
        yield f"{script} line {command.line}: {_shortened(command.text)} is left out{why}"


def _shortened(text: str) -> str:
    longest, line = 70, " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."
