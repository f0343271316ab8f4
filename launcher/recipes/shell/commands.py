"""The commands of a script as values: simple ones, and what branches and loops hold."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Redirection:
    """`operator` and its target as they are written; `body` is the text of a here-document."""

    operator: str
    target: str
    body: str | None
    line: int = 0


@dataclass(frozen=True)
class Simple:
    """One command: its words as they are written, assignments in front included, and the line of each."""

    words: tuple[str, ...]
    redirections: tuple[Redirection, ...]
    line: int
    lines: tuple[int, ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """Commands joined by `|`; `joint` is the operator before it: `&&`, `||`, or `;`."""

    commands: tuple["Command", ...]
    joint: str


@dataclass(frozen=True)
class Branch:
    """`if` and `case`: each body with its condition; a condition is a body, the words of a pattern, or None of `else`."""

    branches: tuple[tuple["Body | tuple[str, ...] | None", "Body"], ...]
    subject: str | None  # of `case`
    line: int


@dataclass(frozen=True)
class Loop:
    """`for NAME in WORDS`, or a `while` with a condition; a loop with neither goes round as only the run knows."""

    name: str | None
    words: tuple[str, ...]
    body: "Body"
    line: int
    condition: "Body" = ()
    is_until: bool = False


@dataclass(frozen=True)
class Group:
    """A group in braces or brackets, or the body of a function that has a name."""

    name: str | None
    body: "Body"
    line: int


Command = Simple | Branch | Loop | Group
Body = tuple[Pipeline, ...]
