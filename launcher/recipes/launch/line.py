"""The line of a script that starts the training: its launcher with options, the program, and the program's arguments.

Only words before the program are the launcher's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..shell.state import ShellCommand
from ..shell.word import Word
from .srun import SrunOption, split_srun

_MODULES = {
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torchrun",
    "accelerate.commands.launch": "accelerate",
    "deepspeed.launcher.runner": "deepspeed",
}
_VERBS = {
    "llamafactory-cli": ("train", "sft", "dpo", "rm"),  # all but the first with USE_V1=1
    "lmf": ("train", "sft", "dpo", "rm"),
    "swift": ("sft", "pt", "rlhf"),
    "megatron": ("sft", "pt", "rlhf"),
    "litgpt": ("pretrain", "finetune", "finetune_full", "finetune_lora", "finetune_adapter"),
    "tune": ("run",),
}
# Options of `axolotl train` itself, which accelerate or torchrun gets.
_OF_AXOLOTL = ("launcher", "num_processes", "main_process_port", "nproc_per_node", "nnodes", "num_machines")
_MPI = ("mpirun", "mpiexec", "horovodrun")
# Options of launchers without a value (torch 2, accelerate 1, DeepSpeed 0.1x, Open MPI 5).
_SWITCHES = {
    "torchrun": "standalone use_env no_python run_path module m",
    "accelerate": "cpu multi_gpu tpu ipex mps use_deepspeed use_fsdp use_megatron_lm use_parallelism_config use_xpu use_cpu quiet q "
    "debug same_network no_python module m enable_cpu_affinity",
    "deepspeed": "no_ssh no_ssh_check force_multi save_pid no_python no_local_rank module m bind_cores_to_rank elastic_training",
    "mpirun": "allow_run_as_root oversubscribe tag_output report_bindings q v",
}
_PREFIXES = {  # programs in front that start what follows their own options, and the options that take a value
    "env": "u C",
    "exec": "a",
    "nohup": "",
    "time": "f o",
    "stdbuf": "i o e",
    "nice": "n",
    "numactl": "C N m i p",
    "uv": "with extra group python p",
    "poetry": "C",
    "pixi": "e",
    **dict.fromkeys(("conda", "mamba"), "n p name prefix"),
    **dict.fromkeys(("apptainer", "singularity"), "B bind env pwd H home"),
}
_AFTER = {"uv": 1, "poetry": 1, "pixi": 1, "conda": 1, "mamba": 1, "apptainer": 1, "singularity": 1}
_DROPPED_PREFIXES = ("exec", "nohup", "time", "env")
_PYTHON = re.compile(r"python(\d+(\.\d+)*)?")


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
        name = _name(words[0])
        if name == "srun":
            srun, words = split_srun(words)
        elif name in _PREFIXES:
            taken, words = _prefix(name, words, environment)
            prefix += taken
        elif words[0].is_known and (match := re.match(r"([A-Za-z_]\w*)=", words[0].text)):
            environment.append((match[1], words[0].rest(match.end())))
            words = words[1:]
        else:
            break
    if not words:
        return None
    base = LaunchLine(command, tuple(environment), srun, tuple(prefix), "", (), (), (), ())
    return _split_launcher(base, words)


def _prefix(
    name: str, words: tuple[Word, ...], environment: list[tuple[str, Word]]
) -> tuple[list[Word], tuple[Word, ...]]:
    """The words of a program in front, less those that clusterplan does without, and the words behind it."""
    at, valued = 1 + (_AFTER.get(name, 0)), _PREFIXES[name].split()
    while at < len(words):
        text = words[at].text
        if name == "env" and (match := re.match(r"([A-Za-z_]\w*)=", text)):
            environment.append((match[1], words[at].rest(match.end())))
            at += 1
        elif text.startswith("-"):
            at += 2 if text.lstrip("-") in valued else 1
        else:
            break
    if name in ("apptainer", "singularity"):
        at += 1  # the image
    return ([] if name in _DROPPED_PREFIXES else list(words[:at])), words[at:]


def _split_launcher(base: LaunchLine, words: tuple[Word, ...]) -> LaunchLine | None:
    name, verb = _name(words[0]), words[1].text if len(words) > 1 else ""
    if _PYTHON.fullmatch(name):
        return _split_python(base, words)
    if name in ("torchrun", "deepspeed", *_MPI):
        return _with_options(
            replace(base, launcher="mpirun" if name in _MPI else name, head=words[:1]), words[1:]
        )
    if name == "accelerate" and verb == "launch":
        return _with_options(replace(base, launcher=name, head=words[:2]), words[2:])
    if name == "axolotl" and verb == "train":
        return _split_axolotl(base, words)
    if verb in _VERBS.get(name, ()):
        return replace(base, launcher=name, head=words[:1], program=words[1:2], arguments=words[2:])
    return (
        replace(base, launcher="python", program=words[:1], arguments=words[1:])
        if name.endswith(".py")
        else None
    )


def _split_axolotl(base: LaunchLine, words: tuple[Word, ...]) -> LaunchLine:
    """`axolotl train`: a launcher of the module axolotl.cli.train; its options stand among the arguments, and behind `--`.

    They were read in axolotl/cli/main.py at 067b021 (https://github.com/axolotl-ai-cloud/axolotl).
    """
    end = next((at for at, word in enumerate(words) if word.text == "--"), len(words))
    options, arguments, at = _options(words[end + 1 :], ()), list[Word](), 2
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


def _options(words: tuple[Word, ...], switches: Sequence[str]) -> list[tuple[str, tuple[Word, ...]]]:
    """The options in front of the first word that is none, by name, each with its words."""
    options, at = list[tuple[str, tuple[Word, ...]]](), 0
    while at < len(words) and words[at].text.startswith("-"):
        text = words[at].text
        name = text.lstrip("-").partition("=")[0].replace("-", "_")
        taken = words[at : at + (2 if "=" not in text and name not in switches else 1)]
        options.append((name, taken))
        at += len(taken)
    return options


def _split_python(base: LaunchLine, words: tuple[Word, ...]) -> LaunchLine | None:
    texts, at = [word.text for word in words], 1
    while at < len(texts) and texts[at] in ("-u", "-O", "-B", "-s", "-I"):
        at += 1
    is_module = texts[at : at + 1] == ["-m"]
    launcher = _MODULES.get(texts[at + 1]) if is_module and len(texts) > at + 1 else None
    if launcher:
        return _with_options(replace(base, launcher=launcher, head=words[: at + 2]), words[at + 2 :])
    end = at + (2 if is_module else 1)
    if end > len(texts) or (not is_module and texts[at].startswith("-")):
        return None
    return replace(base, launcher="python", head=words[:at], program=words[at:end], arguments=words[end:])


def _with_options(base: LaunchLine, words: tuple[Word, ...]) -> LaunchLine | None:
    options = _options(words, _SWITCHES[base.launcher].split())
    at = sum(len(taken) for _, taken in options)
    is_module = any(name in ("m", "module") for name, _ in options)
    options = [(name, taken) for name, taken in options if name not in ("m", "module")]
    program = words[at : at + 1]
    if not program:
        return None
    if is_module:
        program = (Word.of("-m"), *program)
    elif _PYTHON.fullmatch(_name(program[0])):  # mpirun python t.py; --no_python python t.py
        inner = _split_python(base, words[at:])
        return inner and replace(
            inner,
            launcher=base.launcher,
            head=base.head,
            options=tuple(options),
            interpreter=inner.head,
        )
    return replace(base, options=tuple(options), program=program, arguments=words[at + 1 :])


def _name(word: Word) -> str:
    return word.text.rsplit("/", 1)[-1]
