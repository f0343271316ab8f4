"""The state of a script while it is followed: its scope, what it has exported, and what is in doubt."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from .commands import Body
from .expand import expand_word
from .scope import Scope, Value
from .tokens import split_words
from .word import Piece, Word


@dataclass(frozen=True)
class ShellCommand:
    """One command that a script would run.

    `environment` is what stands before it, as `A=1 B=2 python ...`, and `exports` what the script has exported until
    then.  `folder` is where it runs, None if that is not known.  `doubt` says why it may not run, or several times.
    """

    words: tuple[Word, ...]
    line: int
    environment: tuple[tuple[str, Word], ...] = ()
    exports: tuple[tuple[str, Word], ...] = ()
    folder: str | None = None
    doubt: str = ""

    @property
    def program(self) -> str:
        """Return the first word."""
        return self.words[0].text if self.words else ""

    @property
    def text(self) -> str:
        """Return the command as one line."""
        assigned = [f"{name}={value.for_shell()}" for name, value in self.environment]
        return " ".join([*assigned, *(word.for_shell() for word in self.words)])


@dataclass
class Trace:
    """The commands of a script, and the files that it writes by here-documents, by their names in the script."""

    commands: list[ShellCommand] = field(default_factory=list)
    files: dict[str, Word] = field(default_factory=dict)


@dataclass
class State:
    """Everything that one command may change for the next; `run` follows further commands."""

    scope: Scope
    run: Callable[[Body], bool | None]
    trace: Trace = field(default_factory=Trace)
    exports: dict[str, Word] = field(default_factory=dict)
    functions: dict[str, Body] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)  # branches that may not be taken
    rounds: list[str] = field(default_factory=list)  # loops
    depth: int = 0  # of functions
    sourced: int = 0  # files that are being sourced, whose lines are not the script's
    jump: str = ""  # "break" or "continue", until the loop has seen it
    is_over: bool = False

    def emit(self, words: tuple[Word, ...], assigned: tuple[tuple[str, Word], ...], line: int) -> None:
        """Write a command down."""
        doubt = "; ".join(dict.fromkeys((*self.rounds, *self.doubts)))
        exports = tuple(self.exports.items())
        self.trace.commands.append(ShellCommand(words, line, assigned, exports, self.scope.folder, doubt))

    def assign(self, name: str, value: Value) -> None:
        """Set a variable; where that is in doubt, its value is not known any more."""
        if self.doubts and self.scope.variables.get(name) != value:
            value = not_known(name)
        self.scope.variables[name] = value
        if name in self.exports and isinstance(value, Word):
            self.exports[name] = value

    def value_of(self, assignment: re.Match[str], line: int = 0) -> Value:
        """Return the value of an assignment on a line: its name, index, `+` and what is assigned, as it is written."""
        name, index, plus, raw = assignment.groups()
        before = self.scope.value(name)
        if raw.startswith("(") and raw.endswith(")"):
            items = tuple(
                word
                for part, below in split_words(raw[1:-1])
                for word in expand_word(part, self.scope, line=line and line + below)
            )
            return (*before, *items) if plus and isinstance(before, tuple) else items
        if index:
            return not_known(name)
        value = expand_word(raw, self.scope, splits=False, line=line)[0] if raw else Word()
        return Word.joined((*before.pieces, *value.pieces)) if plus and isinstance(before, Word) else value


def not_known(name: str) -> Word:
    """Return the value of a variable that only the run knows."""
    return Word((Piece(f"${name}", is_known=False),))
