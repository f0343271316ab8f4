"""Scripts inside a script: `bash -c "..."`, `srun bash train.sh 8`.  Their commands stand in place of the call."""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..files import Files
from ..shell.scope import Scope, Value
from ..shell.state import ShellCommand
from ..shell.trace import trace_script
from ..shell.word import Word
from .line import split_launch_line

_SHELLS = ("bash", "sh", "dash", "zsh")
_DEEPEST = 3


def open_inner_scripts(
    commands: Sequence[ShellCommand], scope: Scope, files: Files, depth: int = 0
) -> Iterator[ShellCommand]:
    """Yield the commands, and those of the scripts that they start instead of these; srun stays in front of programs.

    >>> words = ("srun", "-N2", "bash", "-c", "cd x && torchrun t.py")
    >>> call = ShellCommand(tuple(map(Word.of, words)), line=1)
    >>> [command.text for command in open_inner_scripts([call], Scope(), Files())]
    ['cd x', 'srun -N2 torchrun t.py']
    """
    for command in commands:
        at = next(
            (
                i
                for i, word in enumerate(command.words)
                if posixpath.basename(word.text) in _SHELLS or is_script(word)
            ),
            None,
        )
        before = command.words[:at] if at is not None else ()
        if at is None or not _may_stand_in_front(before) or depth == _DEEPEST:
            yield command
            continue
        opened = _text(command.words[at:], files)
        if opened is None:
            yield command
            continue
        text, arguments = opened
        variables: dict[str, Value] = {**dict(command.exports), **dict(command.environment)}
        inner = Scope(
            variables,
            arguments,
            scope.environment,
            scope.script,
            command.folder,
        )
        for nested in open_inner_scripts(trace_script(text, inner).commands, inner, files, depth + 1):
            yield _in_place(nested, command, before)


def is_script(word: Word) -> bool:
    """Return whether a word is the name of a shell script."""
    return word.text.endswith((".sh", ".bash")) and word.is_known


def _may_stand_in_front(words: Sequence[Word]) -> bool:
    """Nothing, or srun with its options, or programs such as `env A=1`."""
    return not words or words[0].text in ("srun", "exec", "nohup", "env", "time")


def _text(words: Sequence[Word], files: Files) -> tuple[str, tuple[Word, ...]] | None:
    """The script that a shell is given, and its arguments; None if it is not there."""
    at = 1
    if is_script(words[0]):
        at = 0
    while at < len(words) and words[at].text.startswith("-"):
        if "c" in words[at].text.lstrip("-") and not words[at].text.startswith("--"):
            return (words[at + 1].text, tuple(words[at + 3 :])) if len(words) > at + 1 else None
        at += 1
    file = files.read(words[at].text) if at < len(words) and words[at].is_known else None
    return (file.text, tuple(words[at + 1 :])) if file else None


def _in_place(nested: ShellCommand, outer: ShellCommand, before: tuple[Word, ...]) -> ShellCommand:
    is_program = split_launch_line(nested) is not None
    words = tuple(word.at_line(0) for word in nested.words)  # they count the lines of another text
    return replace(
        nested,
        words=(*before, *words) if is_program and nested.program != "srun" else words,
        line=outer.line,
        environment=(*outer.environment, *nested.environment) if is_program else nested.environment,
        exports=(*outer.exports, *nested.exports),
        doubt="; ".join(filter(None, dict.fromkeys((outer.doubt, nested.doubt)))),
    )
