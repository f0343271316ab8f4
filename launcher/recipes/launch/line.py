"""The line of a script that starts the training: its launcher with options, the program, and the program's arguments.

Only words before the program are the launcher's.
"""

import re
from dataclasses import dataclass, replace

from ...command.processes.launcher import MPI, split_launcher
from ...command.processes.program import PYTHON
from ...command.processes.wrappers import base_name, end_of_wrapper
from ..shell.state import ShellCommand
from ..shell.word import Word
from .srun import SrunOption, split_srun

# Programs of libraries, by their verbs; those without any are given their arguments at once.
_PROGRAMS: dict[str, tuple[str, ...]] = {
    "fairseq-train": (),
    "fairseq-hydra-train": (),
    "mgen": ("fit",),
    "trl": ("sft", "dpo", "grpo", "kto", "reward", "rloo"),
    "xtuner": ("train",),
    "litgpt": (
        *("pretrain", "finetune", "finetune_full", "finetune_lora", "finetune_adapter"),
        "finetune_adapter_v2",
    ),
}
# Libraries whose launcher and program are one: the verb is the program.
_WHOLE = ("swift", "megatron", "llamafactory-cli", "lmf")
# Options of `axolotl train` itself, which accelerate or torchrun gets.
_OF_AXOLOTL = ("launcher", "num_processes", "main_process_port", "nproc_per_node", "nnodes", "num_machines")
_DROPPED_PREFIXES = ("exec", "nohup", "time", "env", "command")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=")


@dataclass(frozen=True)
class LaunchLine:
    """A launch line in its parts.

    `launcher` is "torchrun", "accelerate", "deepspeed", "mpirun", "python", or the name of another program;
    `head` are the words of the launcher itself, `options` its own options by name (dashes inside as underscores), each
    with its words.  `program` is what it starts (`-m module` as two words), and `arguments` are the program's; Python
    stands in `interpreter` where the launcher itself does not start it.
    """

    command: ShellCommand
    environment: tuple[tuple[str, Word], ...]
    srun: tuple[SrunOption, ...] | None
    prefix: tuple[Word, ...]
    launcher: str
    head: tuple[Word, ...]
    options: tuple[tuple[str, tuple[Word, ...]], ...]
    program: tuple[Word, ...]
    arguments: tuple[Word, ...]
    interpreter: tuple[Word, ...] = ()

    @property
    def program_name(self) -> str:
        """Return the script or module that is started."""
        return self.program[-1].text if self.program else self.launcher

    def option(self, *names: str) -> str | None:
        """Return the value of a launcher's option, "" of a switch; None if it is absent."""
        for name, words in self.options:
            if name in names:
                text = words[-1].text
                return text.partition("=")[2] if len(words) == 1 else text
        return None

    def place(self, script: str) -> str:
        """Return where the line begins."""
        return f"{script} line {self.command.line}"

    def source(self, script: str, *names: str) -> str:
        """Return where options of the launcher stand."""
        words = [word for key, words in self.options if key in names for word in words]
        line = next((word.line for word in words if word.line), self.command.line)
        return f"{script} line {line}: {' '.join(word.text for word in words)}"


def split_launch_line(command: ShellCommand) -> LaunchLine | None:
    """Return the parts of a command that starts a program; None if it starts none that could train.

    >>> words = [Word.of(w) for w in "srun -N 2 torchrun --nproc_per_node 4 t.py --nproc_per_node 9".split()]
    >>> line = split_launch_line(ShellCommand(tuple(words), line=1))
    >>> line.launcher, line.option("nproc_per_node"), line.program_name, [word.text for word in line.arguments]
    ('torchrun', '4', 't.py', ['--nproc_per_node', '9'])
    """
    words, srun, environment = command.words, None, list(command.environment)
    prefix: list[Word] = []
    while words:
        end = end_of_wrapper([word.text for word in words], 0)
        if base_name(words[0].text) == "srun":
            srun, words = split_srun(words)
        elif end is not None:
            environment += [pair for word in words[1:end] if (pair := _assigned(word))]
            prefix += [] if base_name(words[0].text) in _DROPPED_PREFIXES else words[:end]
            words = words[end:]
        elif at := _behind_own_wrapper([word.text for word in words]):
            prefix += words[:at]
            words = words[at:]
        elif pair := _assigned(words[0]):
            environment.append(pair)
            words = words[1:]
        else:
            break
    if not words:
        return None
    base = LaunchLine(command, tuple(environment), srun, tuple(prefix), "", (), (), (), ())
    return _split_launcher(base, words)


def _behind_own_wrapper(texts: list[str]) -> int | None:
    """Where the program begins that a script starts which only sets up its surroundings: `./with_env.sh python t.py`."""
    if not texts[0].endswith((".sh", ".bash")):
        return None
    return next(
        (
            at
            for at, text in enumerate(texts)
            if at
            and (PYTHON.fullmatch(base_name(text)) or end_of_wrapper(texts, at) or split_launcher(texts[at:]))
        ),
        None,
    )


def _assigned(word: Word) -> tuple[str, Word] | None:
    """The variable that `A=1` sets; None of any other word."""
    match = _ASSIGNMENT.match(word.text)
    return (match[1], word.rest(match.end())) if match and word.pieces[0].is_known else None


def _split_launcher(base: LaunchLine, words: tuple[Word, ...]) -> LaunchLine | None:
    texts = [word.text for word in words]
    name, verb = base_name(texts[0]), "".join(texts[1:2])
    if name == "axolotl" and verb == "train":
        return _split_axolotl(base, words)
    if name in _PROGRAMS and (verb in _PROGRAMS[name] or not _PROGRAMS[name]):
        first = 1 if _PROGRAMS[name] else 0
        head, program, arguments = words[:first], words[first : first + 1], words[first + 1 :]
        return replace(base, launcher=name, head=head, program=program, arguments=arguments)
    parts = split_launcher(texts)
    if parts is None:
        is_python = PYTHON.fullmatch(name) is not None
        if is_python or not name.endswith(".py"):
            return _split_python(base, words) if is_python else None
        return replace(base, launcher="python", program=words[:1], arguments=words[1:])
    if parts.name in _WHOLE:
        first = parts.first - 1
        return replace(
            base,
            launcher=parts.name,
            head=words[:first],
            program=words[first : first + 1],
            arguments=words[first + 1 :],
        )
    launcher = (
        "mpirun"
        if parts.name in (*MPI, "horovodrun")
        else parts.name.replace("torch.distributed.launch", "torchrun")
    )
    options = [(option.name.lstrip("-"), words[option.start : option.end]) for option in parts.options]
    at = parts.program
    if at == len(words) and options and not options[-1][0]:  # deepspeed $COMMAND
        options, at = options[:-1], at - 1
    is_module = any(name in ("m", "module") for name, _ in options)
    kept = tuple(option for option in options if option[0] not in ("m", "module"))
    base = replace(base, launcher=launcher, head=words[: parts.first], options=kept)
    return _with_program(base, words[at:], is_module=is_module)


def _with_program(base: LaunchLine, words: tuple[Word, ...], *, is_module: bool) -> LaunchLine | None:
    if not words:
        return None
    if is_module:
        return replace(base, program=(Word.of("-m"), words[0]), arguments=words[1:])
    if PYTHON.fullmatch(base_name(words[0].text)):  # mpirun python t.py; --no_python python t.py
        inner = _split_python(base, words)
        return inner and replace(inner, launcher=base.launcher, head=base.head, interpreter=inner.head)
    return replace(base, program=words[:1], arguments=words[1:])


def _split_axolotl(base: LaunchLine, words: tuple[Word, ...]) -> LaunchLine:
    """`axolotl train`: a launcher of the module axolotl.cli.train; its options stand among the arguments, and behind `--`.

    They were read in axolotl/cli/main.py at 067b021 (https://github.com/axolotl-ai-cloud/axolotl).
    """
    end = next((at for at, word in enumerate(words) if word.text == "--"), len(words))
    behind = split_launcher(["accelerate-launch", *(word.text for word in words[end + 1 :])])
    options = [
        (option.name.lstrip("-"), words[end + option.start : end + option.end])
        for option in (behind.options if behind else ())
    ]
    arguments, at = list[Word](), 2
    while at < end:
        name = words[at].text.lstrip("-").partition("=")[0].replace("-", "_")
        if name in ("accelerate", "no_accelerate") and words[at].text.startswith("-"):
            at += 1
        elif name in _OF_AXOLOTL and words[at].text.startswith("-"):
            taken = words[at : at + (1 if "=" in words[at].text else 2)]
            options.append((name, taken))
            at += len(taken)
        else:
            arguments.append(words[at])
            at += 1
    module = (Word.of("-m"), Word.of("axolotl.cli.train"))
    return replace(
        base,
        launcher="axolotl",
        head=words[:1],
        options=tuple(options),
        program=module,
        arguments=tuple(arguments),
    )


def _split_python(base: LaunchLine, words: tuple[Word, ...]) -> LaunchLine | None:
    texts, at = [word.text for word in words], 1
    while at < len(texts) and texts[at] in ("-u", "-O", "-B", "-s", "-I"):
        at += 1
    is_module = texts[at : at + 1] == ["-m"]
    end = at + (2 if is_module else 1)
    if end > len(texts) or (not is_module and texts[at].startswith("-")):
        return None
    return replace(base, launcher="python", head=words[:at], program=words[at:end], arguments=words[end:])
