"""The simple commands in the text of a shell, as far as they can be told without running it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|\|&|[;&|\n()]")
_REDIRECTION = re.compile(r"&>>?|\d*(?:<<<|<<-?|<>|>>|>\||[<>]&?)")
_SPACE = re.compile(r"(?:[ \t\r]|\\\n)+")
_COMMENT = re.compile(r"#[^\n]*")
_PART = re.compile(
    r"""\\. | '[^']*' | "(?:\\.|[^"\\])*" | `[^`]*` | \$\{[^}]*\} | [^\s;&|()<>\\'"`$#] | \# | \$""",
    re.VERBOSE | re.DOTALL,
)
# Where they stand in place of a command, the command is what follows.
_BEFORE_COMMAND = {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"}
_CONTROL = _BEFORE_COMMAND - {"!", "time"} | {
    "for",
    "case",
    "select",
    "function",
    "fi",
    "done",
    "esac",
    "}",
    "[[",
}
_UNCLOSED = ("'", '"', "`")


@dataclass(frozen=True)
class Word:
    """A word as it is written, quotes included, and where it stands in the text."""

    raw: str
    start: int
    end: int


@dataclass(frozen=True)
class SimpleCommand:
    """Words up to an operator, without redirections; `operator` is the one behind them, "" at the end."""

    words: tuple[Word, ...]
    operator: str


@dataclass(frozen=True)
class ShellText:
    """The commands of a text; `is_plain` if they run one after the other, without loops, branches and functions."""

    text: str
    commands: tuple[SimpleCommand, ...]
    is_plain: bool

    def last_pipeline(self) -> SimpleCommand | None:
        """Return the first command of the last pipeline, which the shell waits for; None if that is not sure."""
        if not self.is_plain or not self.commands or self.commands[-1].operator == "&":
            return None
        at = len(self.commands) - 1
        while at and self.commands[at - 1].operator in ("|", "|&"):
            at -= 1
        return self.commands[at]


def parse_shell(text: str) -> ShellText:
    """Return the simple commands in `text`.

    >>> shell = parse_shell('cd x && A=1 exec python "train it.py" --lr $LR > log 2>&1 | tee out # done')
    >>> [word.raw for word in shell.last_pipeline().words]
    ['A=1', 'exec', 'python', '"train it.py"', '--lr', '$LR']
    """
    commands, words, is_plain = list[SimpleCommand](), list[Word](), True
    for token in _tokens(text):
        if isinstance(token, Word):
            if (not words and token.raw in _CONTROL) or token.raw in _UNCLOSED:
                is_plain = False
            if words or token.raw not in _BEFORE_COMMAND:
                words.append(token)
            continue
        if token in "()" or token == "<<":
            is_plain = False
        if token != "<<" and words:
            commands.append(SimpleCommand(tuple(words), token))
            words = []
    if words:
        commands.append(SimpleCommand(tuple(words), ""))
    return ShellText(text, tuple(commands), is_plain)


def _tokens(text: str) -> Iterator[Word | str]:
    """Yield words and operators; of a redirection nothing but `<<`, behind which the here-document is left out."""
    at, ends = 0, list[str]()  # the delimiters of the here-documents that begin in the next line
    while at < len(text):
        if match := _SPACE.match(text, at) or _COMMENT.match(text, at):
            at = match.end()
        elif match := _REDIRECTION.match(text, at):
            target = _SPACE.match(text, match.end())
            start = target.end() if target else match.end()
            at = max(_word_end(text, start), match.end())
            if match[0].endswith(("<<", "<<-")):
                ends.append(text[start:at].strip("'\"\\"))
                yield "<<"
        elif match := _OPERATOR.match(text, at):
            at = match.end()
            if match[0] == "\n":
                for delimiter in ends:
                    at = _after_document(text, at, delimiter)
                ends.clear()
            yield match[0]
        else:
            end = max(_word_end(text, at), at + 1)
            yield Word(text[at:end], at, end)
            at = end


def _word_end(text: str, at: int) -> int:
    while at < len(text):
        if text.startswith("$(", at):
            at = _closing(text, at + 2)
        elif match := _PART.match(text, at):
            at = match.end()
        else:
            break
    return at


def _closing(text: str, at: int) -> int:
    """Return the index behind the parenthesis that closes the one before `at`."""
    depth = 1
    while at < len(text) and depth:
        if text[at] in "()":
            depth += 1 if text[at] == "(" else -1
            at += 1
        else:
            match = _PART.match(text, at)
            at = match.end() if match else at + 1
    return at


def _after_document(text: str, at: int, end: str) -> int:
    match = re.compile(rf"^\t*{re.escape(end)}$\n?", re.MULTILINE).search(text, at)
    return match.end() if match else len(text)
