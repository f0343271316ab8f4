"""What `[ ... ]`, `[[ ... ]]` and `((...))` are, as far as it is known; and the outputs of a few commands.  Pure."""

import fnmatch
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from .arithmetic import calculate
from .commands import Redirection, Simple
from .expand import expand_word, here_text
from .scope import Scope
from .syntax import parse_script
from .word import Word, join_words

_ARGUMENT = re.compile(r"\$(?:\d|\{\d+\})")
_NUMBERS = {"-eq": "==", "-ne": "!=", "-gt": ">", "-ge": ">=", "-lt": "<", "-le": "<="}


def judge_test(words: Sequence[str], scope: Scope) -> bool | None:
    """Return whether the test in `words`, as they are written, holds; None if only the run knows.

    >>> scope = Scope({"N": Word.of("8"), "EMPTY": Word()})
    >>> [judge_test(test.split(), scope) for test in ("[ $N -gt 4 ]", '[[ -z "$EMPTY" && $N == 9* ]]', "[ -f x ]")]
    [True, False, None]
    """
    if words[0].startswith("(("):
        value = calculate(words[0][2:-2], scope.text)
        return None if value is None else value != 0
    inner = [word for word in words[1:] if word not in ("]", "]]")]
    for joint, combine in (("||", any), ("-o", any), ("&&", all), ("-a", all)):
        if joint in inner:
            return _combine(inner, joint, combine, words[0], scope)
    if inner[:1] == ["!"]:
        holds = judge_test([words[0], *inner[1:]], scope)
        return None if holds is None else not holds
    return _judge_one(inner, scope, is_pattern=words[0] == "[[")


def _combine(
    inner: list[str], joint: str, combine: Callable[[list[bool]], bool], opening: str, scope: Scope
) -> bool | None:
    at = inner.index(joint)
    parts = [judge_test([opening, *part], scope) for part in (inner[:at], inner[at + 1 :])]
    decides = combine is any  # one part is enough
    if decides in parts:
        return decides
    return None if None in parts else not decides


def _judge_one(inner: list[str], scope: Scope, *, is_pattern: bool) -> bool | None:
    scope = replace(scope, undefined_is_empty=True)
    words = [_without_missing(expand_word(word, scope, splits=False)[0]) for word in inner]
    if not all(word.is_known for word in words):
        return None
    match [word.text for word in words]:
        case [a, operator, b]:
            return _compare(a, operator, b, scope, is_pattern=is_pattern)
        case ["-z", text]:
            return not text
        case ["-n", text] | [text]:
            return bool(text)
    return None


def _without_missing(word: Word) -> Word:
    """The word without the script's arguments that are not given: a test finds nothing in their place."""
    return Word(
        tuple(piece for piece in word.pieces if piece.is_known or not _ARGUMENT.fullmatch(piece.text))
    )


def _compare(a: str, operator: str, b: str, scope: Scope, *, is_pattern: bool) -> bool | None:
    if operator in ("=", "==", "!="):
        is_equal = fnmatch.fnmatchcase(a, b) if is_pattern else a == b
        return is_equal != (operator == "!=")
    if operator not in _NUMBERS:
        return None
    value = calculate(f"({a}) {_NUMBERS[operator]} ({b})", scope.text)
    return None if value is None else value != 0


def substitute(text: str, scope: Scope) -> Word | None:
    """Return what a command prints, if that needs no machine; None otherwise.

    >>> scope = Scope({"N": Word.of("4")}, script="scripts/run.sh", folder="/repo")
    >>> for command in ("expr 32 / $N", "dirname $0", 'cd "$(dirname $0)/.." && pwd', "hostname"):
    ...     print(output.text if (output := substitute(command, scope)) else None)
    8
    scripts
    /repo
    None
    """
    scope.substitute = substitute
    if document := _printed_document(text):
        printed = here_text(document, scope)
        return Word.of(printed.text.rstrip("\n")) if printed.is_known else printed
    words, folder = _simple_commands(text, scope), scope.folder
    words = [[word for word in listed if word.text not in ("--", "-P", "-L")] for listed in words]
    while len(words) > 1 and words[0][0].text == "cd" and folder is not None:
        if not all(word.is_known for word in words[0]):
            return None
        folder = posixpath.normpath(posixpath.join(folder, words.pop(0)[-1].text))
    if len(words) != 1:
        return None
    program, arguments = words[0][0].text, words[0][1:]
    if program == "echo":
        return join_words(word for word in arguments if word.text not in ("-n", "-e"))
    if not all(word.is_known for word in arguments):
        return None
    output = folder if program == "pwd" else _output(program, [word.text for word in arguments], scope)
    return None if output is None else Word.of(output)


def _printed_document(text: str) -> Redirection | None:
    """The here-document of `$(cat <<EOF ...)`."""
    commands = [command for pipeline in parse_script(text) for command in pipeline.commands]
    if len(commands) != 1 or not isinstance(commands[0], Simple) or commands[0].words != ("cat",):
        return None
    return next((r for r in commands[0].redirections if r.body is not None), None)


def _simple_commands(text: str, scope: Scope) -> list[list[Word]]:
    """The words of each command in a row; none if there is a pipe, or anything but simple commands."""
    commands = [pipeline.commands for pipeline in parse_script(text)]
    if not all(len(piped) == 1 and isinstance(piped[0], Simple) for piped in commands):
        return []
    simple = [piped[0] for piped in commands if isinstance(piped[0], Simple)]
    words = [[word for raw in command.words for word in expand_word(raw, scope)] for command in simple]
    return [listed for listed in words if listed]


def _output(program: str, arguments: list[str], scope: Scope) -> str | None:
    if program == "expr":
        value = calculate(" ".join(arguments), scope.text)
        return None if value is None else str(value)
    if program in ("basename", "dirname") and arguments:
        path, *suffix = arguments
        folder, name = posixpath.split(path.rstrip("/"))
        return folder or "." if program == "dirname" else name.removesuffix(*suffix or [""])
    if program in ("readlink", "realpath") and arguments and scope.folder:
        return posixpath.normpath(posixpath.join(scope.folder, arguments[-1]))
    if program == "seq" and arguments and all(re.fullmatch(r"\d{1,4}", number) for number in arguments):
        first = int(arguments[0]) if len(arguments) > 1 else 1
        return " ".join(str(number) for number in range(first, int(arguments[-1]) + 1))
    return None
