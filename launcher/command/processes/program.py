"""The program that a command starts in the end: behind wrappers, and as the last command of `bash -c`."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .shell_text import ShellText, SimpleCommand, Word, parse_shell
from .wrappers import base_name, unwrap

WriteOut = Callable[[str, tuple[str, ...]], str]

PYTHON = re.compile(r"python(\d+(\.\d+)*)?")
_SHELLS = {"bash", "sh", "dash", "zsh", "ksh"}
_SHELL_VALUED = re.compile(r"[-+]\w*[oO]|--rcfile|--init-file")  # bash(1)


@dataclass(frozen=True)
class Program:
    """The program of a command with its arguments, `words`, as written; `variables` are set by the words before it.

    `before` are the words of the command that stay in front.  In the text of a shell, which is the word behind
    `before`, `spans` are where the words stand, and `after` are the words behind the text.
    """

    words: tuple[str, ...]
    before: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None
    spans: tuple[tuple[int, int], ...] = ()
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the program's name without its folder."""
        return base_name(self.words[0]) if self.words else ""

    @property
    def is_python(self) -> bool:
        """Return whether it is a Python interpreter."""
        return PYTHON.fullmatch(self.name) is not None

    @property
    def is_shell(self) -> bool:
        """Return whether it is a shell, or a script for one."""
        return self.name in _SHELLS or self.name.endswith(".sh")

    def with_words(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return the command with these words in place of the program's; equal words at the end stay as written."""
        if self.text is None:
            return (*self.before, *words)
        same = 0
        while same < min(len(words), len(self.words)) and words[-1 - same] == self.words[-1 - same]:
            same += 1
        head = " ".join(words[: len(words) - same])
        start = self.spans[0][0]
        if same:
            text = f"{self.text[:start]}{head} {self.text[self.spans[-same][0] :]}"
        else:
            text = self.text[:start] + head + self.text[self.spans[-1][1] :]
        return (*self.before, text, *self.after)


def find_program(command: tuple[str, ...]) -> Program:
    """Return the program that `command` starts in the end, or the shell whose text does not tell.

    >>> find_program(("env", "A=1", "bash", "-lc", "module load cuda && exec python train.py")).words
    ('python', 'train.py')
    >>> find_program(("uv", "run", "train.py", "--lr", "1")).words
    ('python', 'train.py', '--lr', '1')
    """
    outer = _unwrapped(command)
    if not outer.words:
        return Program(command)
    at = _text_at(outer.words) if outer.name in _SHELLS else None
    if at is None:
        return outer
    text = outer.words[at]
    main = parse_shell(text).last_pipeline()
    if main is None:
        return outer
    inner = find_program_in(main)
    if not inner.words or inner.is_shell:
        return outer
    return Program(
        inner.words,
        (*outer.before, *outer.words[:at]),
        {**outer.variables, **inner.variables},
        text,
        _spans(main.words, inner),
        outer.words[at + 1 :],
    )


def with_arguments(command: tuple[str, ...], arguments: Sequence[str]) -> tuple[str, ...]:
    """Return `command` with further arguments for its program: also in the text of a shell, unless that takes "$@".

    The first word behind the text of a shell is its $0, and no argument.

    >>> with_arguments(("bash", "-c", "python t.py > log"), ["--from", "a b"])
    ('bash', '-c', "python t.py --from 'a b' > log")
    >>> with_arguments(("bash", "-c", 'python t.py "$@"'), ["--from", "a b"])
    ('bash', '-c', 'python t.py "$@"', 'bash', '--from', 'a b')
    """
    program = find_program(command)
    if program.text is None or not arguments:
        return (*command, *arguments)
    if re.search(r"\$[@*1]", program.text):
        own_name = () if program.after else (base_name(_unwrapped(command).words[0]),)
        return (*command, *own_name, *arguments)
    end = program.spans[-1][1]
    text = f"{program.text[:end]} {shlex.join(arguments)}{program.text[end:]}"
    return (*program.before, text, *program.after)


def programs_in(
    command: tuple[str, ...], texts: Mapping[str, str], write_out: WriteOut | None = None
) -> list[Program]:
    """Return every program that `command` names: with those in the text of its shell, and in a script that is read.

    `texts` has the content of scripts by the name that the command gives them.  `write_out` returns a text with what its
    own variables hold, from the text and its arguments; without it they stay.
    """
    outer = _unwrapped(command)
    return [outer, *_programs(outer, texts, write_out or (lambda text, _arguments: text), set())]


def shell_text(command: tuple[str, ...], texts: Mapping[str, str]) -> ShellText | None:
    """Return the text that the shell of `command` reads; None if it is no shell, or its script is not in `texts`."""
    source = _shell_source(_unwrapped(command), texts)
    return source and parse_shell(source[0])


def script_of(program: Program) -> str | None:
    """Return the script that a shell is given as a file; None without one.

    >>> script_of(Program(("bash", "-x", "train.sh", "8"))), script_of(Program(("./train.sh",)))
    ('train.sh', './train.sh')
    """
    if program.name.endswith(".sh"):
        return program.words[0]
    if program.name not in _SHELLS or _text_at(program.words) is not None:
        return None
    at = _after_shell_options(program.words)
    return program.words[at] if at < len(program.words) else None


def find_program_in(command: SimpleCommand) -> Program:
    """Return the program of a command in the text of a shell, behind its wrappers."""
    return _unwrapped(tuple(word.raw for word in command.words))


def outer_words(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of a shell without its text and what follows; those of another program as they are.

    >>> outer_words(("env", "A=1", "bash", "-eo", "pipefail", "-c", "python t.py"))
    ('bash', '-eo', 'pipefail', '-c')
    """
    words = _unwrapped(command).words
    return words[: _text_at(words)] if base_name(words[0]) in _SHELLS else words


def _shell_source(program: Program, texts: Mapping[str, str]) -> tuple[str, tuple[str, ...]] | None:
    """Return the text that a shell reads, and the arguments of that text."""
    words = program.words
    if program.name in _SHELLS and (at := _text_at(words)) is not None:
        return words[at], words[at + 2 :]
    script = script_of(program) if words else None
    if script is None or script not in texts:
        return None
    return texts[script], words[words.index(script) + 1 :]


def _programs(
    program: Program, texts: Mapping[str, str], write_out: WriteOut, seen: set[str]
) -> Iterator[Program]:
    source = _shell_source(program, texts)
    if source is None or source[0] in seen:
        return
    seen.add(source[0])
    for command in parse_shell(write_out(*source)).commands:
        inner = find_program_in(command)
        if inner.words:
            yield inner
            yield from _programs(inner, texts, write_out, seen)


def _unwrapped(command: tuple[str, ...]) -> Program:
    found = unwrap(command)
    words = command[found.at + found.module_words :]
    if found.needs_python:
        words = ("python", *(("-m",) if found.module_words else ()), *words)
    return Program(words, command[: found.at], found.variables)


def _spans(words: Sequence[Word], inner: Program) -> tuple[tuple[int, int], ...]:
    """Return where each of the program's words stands; a Python that no word stands for begins where the next does."""
    spans = [(word.start, word.end) for word in words[len(inner.before) :]]
    missing = len(inner.words) - len(spans)
    return (*[(spans[0][0], spans[0][0])] * missing, *spans)


def _text_at(words: Sequence[str]) -> int | None:
    """Return the index of the text that a shell is given by -c; None without one."""
    at, has_text = 1, False
    while at < len(words) and words[at].startswith(("-", "+")) and words[at] not in ("-", "--"):
        has_text |= not words[at].startswith(("--", "+")) and "c" in words[at]
        at += 2 if _SHELL_VALUED.fullmatch(words[at]) else 1
    at += words[at : at + 1] in (["--"], ("--",))
    return at if has_text and at < len(words) else None


def _after_shell_options(words: Sequence[str]) -> int:
    at = 1
    while at < len(words) and words[at].startswith(("-", "+")):
        at += 2 if _SHELL_VALUED.fullmatch(words[at]) else 1
    return at
