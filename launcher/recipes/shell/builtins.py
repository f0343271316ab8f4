"""What the builtins of the shell do to the commands that follow."""

import posixpath
import re
from collections.abc import Callable, Sequence

from .expand import expand_word
from .scope import Value
from .state import State, not_known
from .syntax import Simple, parse_script
from .word import Piece, Word, join_words

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[[^\]]*\])?(\+?)=(.*)", re.DOTALL)
DECLARATIONS = {"export", "declare", "local", "readonly", "typeset"}


def declare(raws: Sequence[str], state: State, line: int) -> None:
    """Set the variables of `export A=1` and its kin, whose words are `raws` as they are written."""
    words: list[Word] = [Word.of(raws[0])]
    for raw in raws[1:]:
        match = ASSIGNMENT.fullmatch(raw)
        name = match[1] if match else raw
        if match:
            state.assign(name, state.value_of(match))
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
    state.scope.arguments = state.scope.arguments[1:]
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


def _unset(arguments: Sequence[Word], simple: Simple, state: State) -> bool:
    for word in arguments:
        state.scope.variables.pop(word.text, None)
    state.emit((Word.of("unset"), *arguments), (), simple.line)
    return True


def _read(arguments: Sequence[Word], simple: Simple, state: State) -> bool:
    texts = [r.target for r in simple.redirections if r.operator == "<<<"]
    words = [word for raw in texts for word in expand_word(raw, state.scope, splits=False)]
    names = [word.text for word in arguments if re.fullmatch(r"[A-Za-z_]\w*", word.text)]
    is_array = any(re.fullmatch(r"-\w*a\w*", word.text) for word in arguments)
    for name in names:
        state.scope.variables[name] = _read_value(words[0] if is_array and words else not_known(name))
    return True


def _read_value(line: Word) -> Value:
    return tuple(Word.of(part) for part in line.text.split()) if line.is_known else line


def _exit(arguments: Sequence[Word], simple: Simple, state: State) -> bool:  # noqa: ARG001
    state.is_over = not state.doubts and not state.depth
    return True


def _succeed(arguments: Sequence[Word], simple: Simple, state: State) -> bool:  # noqa: ARG001
    return True


BUILTINS: dict[str, Callable[[Sequence[Word], Simple, State], bool | None]] = {
    "cd": _change_folder,
    "shift": _shift,
    "set": _set,
    "eval": _evaluate,
    "unset": _unset,
    "read": _read,
    "exit": _exit,
    "false": lambda *_: False,
    **dict.fromkeys(("true", ":", "echo", "printf", "clear", "break", "continue", "date"), _succeed),
}
