"""The `[run]` of the job file: the command of a launch line, and how its processes are started.  Pure.

The launcher torchrun goes: clusterplan starts it.  The others stay, without the words by which their processes meet.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..recipe import Question, Recipe, Setting
from ..shell.state import ShellCommand
from ..shell.word import Piece, Word
from .launcher_words import WHERE_NODES_MEET, WRITE_HOSTS, launcher_words
from .line import LaunchLine
from .setup import OWN_VARIABLES, Launches

_OF_THE_RUN = re.compile(
    r"\$\{?(SLURM\w*|HOSTNAME|RANDOM|SECONDS|USER|HOME|PWD|TMPDIR|PATH|LD_LIBRARY_PATH|PYTHONPATH|CONDA\w*)\b|\$\(|`"
)
_OF_THE_SCRIPT = re.compile(
    r"\$(?:[\d@*]|\{[\d@*]+\})"
)  # its arguments: inside `bash -c` they would be the run's


@dataclass(frozen=True)
class JobShape:
    """What of the job's machines decides how it is started; None is what is not known."""

    gpus: int | None
    nodes: int | None
    tasks_per_node: int | None

    @property
    def gpus_per_node(self) -> int | None:
        """Return the GPUs of a node."""
        return self.gpus // (self.nodes or 1) if self.gpus else None


@dataclass(frozen=True)
class ArgumentWords:
    """What becomes of a program's arguments: placeholders in place of some, by their index, and words behind the last.

    `bootstrap` starts the program if it has no launcher; None: as the line does.  `reads_local_rank` is whether it may
    read the argument --local_rank, which deepspeed adds and torchrun does not.
    """

    placeholders: Mapping[int, str]
    added: tuple[str, ...] = ()
    bootstrap: str | None = None
    reads_local_rank: bool = False


def write_run(
    launches: Launches,
    arguments: ArgumentWords,
    shape: JobShape,
    script: str,
    written: Mapping[str, Word],
) -> Recipe:
    """Return `[run]` for a launch line.

    `script` is its name, and `written` are the files that the script writes, of which those are kept that
    the line names.
    """
    launch, place = launches.training, launches.training.place(script)
    deepspeed_on_nodes = launch.launcher == "deepspeed" and (shape.nodes or 1) > 1
    by_torchrun = launch.launcher in ("torchrun", "axolotl") or (
        deepspeed_on_nodes and not arguments.reads_local_rank
    )
    words = _program_words(launch) if by_torchrun else launcher_words(launch, shape.nodes or 1)
    words += [
        _literal(word) if number not in arguments.placeholders else Word.of(arguments.placeholders[number])
        for number, word in enumerate(launch.arguments)
    ]
    words += map(Word.of, arguments.added)
    environment = _environment(launches)
    meets = "" if by_torchrun or (shape.nodes or 1) == 1 else WHERE_NODES_MEET.get(launch.launcher, "")
    before = [*_set_up(launches), *_write_files(words, written)]
    if deepspeed_on_nodes and not by_torchrun:
        before.append(WRITE_HOSTS)
    settings = [Setting("run.command", _command(launches, before, environment, words, meets), place)]
    remarks = []
    if deepspeed_on_nodes and not by_torchrun:
        why = "deepspeed is started on each node, without ssh, as DeepSpeed 0.14 and later can"
        settings.append(Setting("run.bootstrap", "single", f"{place}: {why}"))
    if launch.launcher == "deepspeed" and shape.nodes is None:
        remarks.append(f"{place}: deepspeed as it stands here trains on one node: for more give --nodes")
    if by_torchrun:
        settings.append(Setting("run.bootstrap", "torchrun", f"{place}: {launch.launcher}"))
        if launch.launcher == "deepspeed":
            remarks.append(
                f"{place}: deepspeed reaches other nodes by ssh: torchrun starts the processes instead"
            )
    elif launch.launcher == "python" and not (arguments.bootstrap and launch.srun is None):
        settings += _own_bootstrap(launch, shape, place)
    if launch.option("gpu_ids"):
        remarks.append(f"{launch.source(script, 'gpu_ids')} is left out: Slurm chooses the GPUs")
    in_setup = [word for command in launches.setup for word in command.words]
    left = [
        *_undefined([*words, *(value for _, value in environment)]),
        *(text for text in _undefined(in_setup) if _OF_THE_SCRIPT.fullmatch(text)),
    ]
    if left := list(dict.fromkeys(left)):
        have = "has" if len(left) == 1 else "have"
        why = f"{place}: {', '.join(left)} {have} no value here: write it into run.command"
        return Recipe.of(*settings, remarks=tuple(remarks)).over(
            Recipe(questions=(Question("run.arguments", why),))
        )
    return Recipe.of(*settings, remarks=tuple(remarks))


def _own_bootstrap(launch: LaunchLine, shape: JobShape, place: str) -> list[Setting]:
    """A program without a launcher: one process per task, as it was."""
    if shape.gpus == 1:
        return []
    per_gpu = launch.srun is not None and (shape.tasks_per_node or 1) > 1
    if per_gpu and shape.gpus_per_node in (None, shape.tasks_per_node):
        return [Setting("run.bootstrap", "per-gpu", f"{place}: srun with a task per GPU")]
    note = 'one process sees all GPUs of a node; "torchrun" starts one per GPU'
    return [Setting("run.bootstrap", "single", f"{place}: {note}")]


def _program_words(launch: LaunchLine) -> list[Word]:
    """The program under torchrun: `python` in place of the launcher."""
    head = [*launch.prefix]
    name = launch.head[0].text if launch.head else "python"
    folder, slash, base = name.rpartition("/")
    python = name if base.startswith("python") else f"{folder}{slash}python"
    is_own = launch.option("no_python") is not None and not launch.program[-1].text.endswith(".py")
    return [*head, *([] if is_own else [Word.of(python)]), *launch.program]


def _environment(launches: Launches) -> list[tuple[str, Word]]:
    """What stands before the line, and exports if nothing else has to be set up by a shell."""
    launch = launches.training
    pairs = [*(launch.command.exports if _only_exports(launches.setup) else ()), *launch.environment]
    return [(name, value) for name, value in dict(pairs).items() if name not in OWN_VARIABLES]


def _only_exports(setup: Sequence[ShellCommand]) -> bool:
    return all(command.program == "export" and all(w.is_known for w in command.words) for command in setup)


def _set_up(launches: Launches) -> list[str]:
    """What has to be done first, as commands of a shell; nothing if it is only exports, which stand before the line."""
    if _only_exports(launches.setup):
        return []
    return [
        f"{_escaped(_without_own(command))}{' && ' if launches.exits_on_error or command.program == 'cd' else '; '}"
        for command in launches.setup
    ]


def _write_files(words: Sequence[Word], written: Mapping[str, Word]) -> list[str]:
    """A config that the script writes by a here-document and the line names."""
    named = {word.text: word for word in words if word.text in written}
    return [
        f"printf %s {_escaped(written[name].for_shell())} > {word.for_shell()} && "
        for name, word in named.items()
    ]


def _command(
    launches: Launches, before: list[str], environment: list[tuple[str, Word]], words: list[Word], meets: str
) -> tuple[str, ...]:
    """The words of the command; in the text of a shell where something is done first, or is the run's to know."""
    everything = [*words, *(value for _, value in environment)]
    if not before and not meets and all(word.is_known for word in everything):
        assigned = [f"{name}={_escaped(value.text)}" for name, value in environment]
        return (*(("env", *assigned) if assigned else ()), *(word.text for word in words))
    assigned = [_escaped(f"{name}={value.for_shell()}") for name, value in environment]
    head = len(launches.training.prefix) + len(launches.training.head)
    line = [word.for_shell() for word in words]
    line = [*line[:head], *([meets] if meets else []), *line[head:]]
    program = " ".join([*(("env", *assigned) if assigned else ()), *line])
    return ("bash", "-c", f'{"".join(before)}exec {program} "$@"', "bash")


def _without_own(command: ShellCommand) -> str:
    words = [word for word in command.words if word.text.partition("=")[0] not in OWN_VARIABLES]
    texts = [word.for_shell() for word in words]
    if command.program == "export":  # the quotes around the value alone
        texts = ["export", *(_assignment(word) for word in words[1:])]
    return " ".join(texts)


def _assignment(word: Word) -> str:
    name = word.text.partition("=")[0]
    return f"{name}={word.rest(len(name) + 1).for_shell()}"


def _literal(word: Word) -> Word:
    return Word(tuple(Piece(_escaped(piece.text), piece.is_known) for piece in word.pieces))


def _escaped(text: str) -> str:
    """Braces around a name are no placeholder of the job file's."""
    return re.sub(r"(?<!\$)\{([A-Za-z_][\w-]*)\}", r"{{\1}}", text)


def _undefined(words: Sequence[Word]) -> list[str]:
    """Variables that neither the script nor the run gives a value."""
    return list(dict.fromkeys(text for word in words for text in word.unknown if not _OF_THE_RUN.match(text)))
