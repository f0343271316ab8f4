"""What the builtins of the shell do to the commands that follow."""

import posixpath
import re
from collections.abc import Callable, Sequence

from .commands import Redirection, Simple
from .expand import expand_word, here_text
from .scope import Value
from .state import State, not_known
from .syntax import parse_script
from .word import Piece, Word, join_words

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[[^\]]*\])?(\+?)=(.*)", re.DOTALL)
_DEEPEST = 3  # files that source files
DECLARATIONS = {"export", "declare", "local", "readonly", "typeset"}


def declare(raws: Sequence[str], state: State, line: int, lines: Sequence[int]) -> None:
    """Set the variables of `export A=1` and its kin, whose words are `raws` as they are written on their `lines`."""
    words: list[Word] = [Word.of(raws[0])]
    for raw, its_line in zip(raws[1:], lines[1:], strict=True):
        match = ASSIGNMENT.fullmatch(raw)
        name = match[1] if match else raw
        if match:
            state.assign(name, state.value_of(match, its_line))
        value = state.scope.variables.get(name)
        if raws[0] == "export" and isinstance(value, Word) and re.fullmatch(r"\w+", name):
            state.exports[name] = value
            words.append(Word.joined((Piece(f"{name}="), *value.pieces)))
    if len(words) > 1:
        state.emit(tuple(words), (), line)


def _change_folder(arguments: Sequence[Word], simple: Simple, state: State) -> bool:
    scope = state.scope
    target = arguments[-1] if arguments else Word.of(scope.text("HOME") or "")
    state.emit((Word.of("cd"), target), (), simple.line)
    is_known = target.is_known and scope.folder is not None and not state.doubts
    scope.folder = posixpath.normpath(posixpath.join(scope.folder or "", target.text)) if is_known else None
    return True


def _shift(arguments: Sequence[Word], simple: Simple, state: State) -> bool:  # noqa: ARG001
    count = int(arguments[0].text) if arguments and arguments[0].text.isdecimal() else 1
    state.scope.arguments = state.scope.arguments[count:]
    return True


def _set(arguments: Sequence[Word], simple: Simple, state: State) -> bool:
    if arguments[:1] == (Word.of("--"),):
        state.scope.arguments = tuple(arguments[1:])
    else:
        state.emit((Word.of("set"), *arguments), (), simple.line)
    return True


def _evaluate(arguments: Sequence[Word], simple: Simple, state: State) -> bool | None:
    joined = join_words(arguments)
    if not joined.is_known:  # eval "$(conda shell.bash hook)"
        state.emit((Word.of("eval"), *arguments), (), simple.line)
        return True
    return state.run(parse_script(joined.text))


def _source(arguments: Sequence[Word], simple: Simple, state: State) -> bool:
    """Follow a file for the variables that it sets; the run sources it as well."""
    scope, emitted = state.scope, len(state.trace.commands)
    text = (
        scope.read(arguments[0].text)
        if arguments and arguments[0].is_known and state.sourced < _DEEPEST
        else None
    )
    if text is not None:
        before, scope.arguments = scope.arguments, tuple(arguments[1:]) or scope.arguments
        state.sourced += 1
        state.run(parse_script(text))
        state.sourced -= 1
        scope.arguments = before
        del state.trace.commands[emitted:]
    state.emit((Word.of("source"), *arguments), (), simple.line)
    return True


def _unset(arguments: Sequence[Word], simple: Simple, state: State) -> bool:
    for word in arguments:
        state.scope.variables.pop(word.text, None)
    state.emit((Word.of("unset"), *arguments), (), simple.line)
    return True


def _read(arguments: Sequence[Word], simple: Simple, state: State) -> bool | None:
    words = [input_ for r in simple.redirections if (input_ := _input(r, arguments, state)) is not None]
    names = [word.text for word in arguments if re.fullmatch(r"[A-Za-z_]\w*", word.text)]
    is_array = any(re.fullmatch(r"-\w*a\w*", word.text) for word in arguments)
    for name in names:
        whole = words[0] if words and (is_array or len(names) == 1) else not_known(name)
        state.scope.variables[name] = _parts(whole) if is_array else whole
    return True if words else None


def _input(redirection: Redirection, arguments: Sequence[Word], state: State) -> Word | None:
    """What `read` gets: a here-string, or a here-document, of which it takes one line unless it is told `-d ''`."""
    if redirection.operator == "<<<":
        return expand_word(redirection.target, state.scope, splits=False)[0]
    if redirection.body is None:
        return None
    text = here_text(redirection, state.scope)
    if not text.is_known:
        return text
    takes_all = any(re.fullmatch(r"-\w*d\w*", word.text) for word in arguments)
    whole = text.text if takes_all else text.text.partition("\n")[0]
    return Word.of(whole.strip()).at_line(text.line)


def _parts(line: Word) -> Value:
    return tuple(Word.of(part) for part in line.text.split()) if line.is_known else line


def _exit(arguments: Sequence[Word], simple: Simple, state: State) -> bool:  # noqa: ARG001
    # It misses its arguments: what it does with them is still worth reading.
    lacks_arguments = not state.scope.arguments and bool(arguments) and arguments[0].text != "0"
    state.is_over = not state.doubts and not state.depth and not lacks_arguments
    return True


def _jump(kind: str) -> Callable[[Sequence[Word], Simple, State], bool]:
    def jump(arguments: Sequence[Word], simple: Simple, state: State) -> bool:  # noqa: ARG001
        state.jump = "" if state.doubts else kind
        return True

    return jump


def _succeed(arguments: Sequence[Word], simple: Simple, state: State) -> bool:  # noqa: ARG001
    return True


BUILTINS: dict[str, Callable[[Sequence[Word], Simple, State], bool | None]] = {
    "cd": _change_folder,
    "shift": _shift,
    "set": _set,
    "eval": _evaluate,
    "source": _source,
    ".": _source,
    "unset": _unset,
    "read": _read,
    "exit": _exit,
    "false": lambda *_: False,
    "break": _jump("break"),
    "continue": _jump("continue"),
    **dict.fromkeys(("true", ":", "echo", "printf", "clear", "reset", "date"), _succeed),
}
