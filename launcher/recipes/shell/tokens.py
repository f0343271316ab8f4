"""The words and operators of a shell script, as bash cuts them; quotes stay as they are written.  Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

# The longest first.
_OPERATORS = (
    *("&>>", "<<<", "<<-", ";;&", "&&", "||", ";;", ";&", "|&", "&>", "<<", ">>", ">&", "<&", ">|", "<>"),
    *("\n", ";", "|", "&", "(", ")", "<", ">"),
)
_ARRAY = re.compile(r"[A-Za-z_]\w*(\[[^\]]*\])?\+?=")
_CLOSING = {"(": ")", "{": "}"}


@dataclass(frozen=True)
class Token:
    """A word as it is written, or an operator; `body` is the text of a here-document, whose operator this is."""

    text: str
    line: int
    is_operator: bool = False
    body: str | None = None

    def is_op(self, *texts: str) -> bool:
        """Return whether this is one of these operators."""
        return self.is_operator and self.text in texts


def read_tokens(text: str) -> list[Token]:
    """Return the tokens of a script; a line that ends in a backslash goes on, and comments are left out.

    >>> [token.text for token in read_tokens('A=1 torchrun "t 1.py" \\\\\\n  --lr $(echo 1 2) | tee log # note')]
    ['A=1', 'torchrun', '"t 1.py"', '--lr', '$(echo 1 2)', '|', 'tee', 'log']
    """
    tokens: list[Token] = []
    waiting: list[int] = []  # the operators of here-documents whose text begins on the next line
    at, line, counted = 0, 1, 0
    while at < len(text):
        line, counted = line + text.count("\n", counted, at), at
        if text[at] in " \t\r":
            at += 1
        elif text.startswith(("\\\n", "\\\r\n"), at):
            at = text.index("\n", at) + 1
        elif text[at] == "#":
            at = _end_of_line(text, at)
        elif operator := _operator_at(text, at):
            tokens.append(Token(operator, line, is_operator=True))
            at += len(operator)
            if operator.lstrip("0123456789") in ("<<", "<<-"):
                waiting.append(len(tokens) - 1)
            while operator == "\n" and waiting:
                place = waiting.pop(0)
                body, at = _here_document(text, at, tokens, place)
                tokens[place] = replace(tokens[place], body=body)
        else:
            end = _end_of_word(text, at)
            tokens.append(Token(text[at:end], line))
            at = end
    return tokens


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _operator_at(text: str, at: int) -> str | None:
    if text.startswith("((", at):
        return None  # arithmetic: one word
    if number := re.compile(r"\d+(?=[<>])").match(text, at):
        operator = _operator_at(text, number.end())
        return number[0] + operator if operator else None
    return next((operator for operator in _OPERATORS if text.startswith(operator, at)), None)


def _here_document(text: str, at: int, tokens: list[Token], place: int) -> tuple[str, int]:
    """The text of the here-document whose operator is at `place`, and where the script goes on."""
    delimiter = re.sub(r"[\\'\"]", "", tokens[place + 1].text) if place + 1 < len(tokens) else ""
    tabs = tokens[place].text.endswith("-")
    lines = []
    while at < len(text):
        end = _end_of_line(text, at)
        line = text[at:end].rstrip("\r")
        at = end + 1
        if (line.lstrip("\t") if tabs else line) == delimiter:
            break
        lines.append(line.lstrip("\t") if tabs else line)
    return "".join(f"{line}\n" for line in lines), min(at, len(text))


def _end_of_word(text: str, at: int) -> int:
    start = at
    if text.startswith("((", at):
        return _end_of_nested(text, at, "(")
    while at < len(text):
        char = text[at]
        if char in " \t\r\n" or (char in ";|&()<>" and not _is_array(text, start, at)):
            return at
        at = end_of_part(text, at)
    return at


def _is_array(text: str, start: int, at: int) -> bool:
    return text[at] == "(" and _ARRAY.fullmatch(text, start, at) is not None


def end_of_part(text: str, at: int) -> int:
    """Return where the part of a word at `at` ends: quoted text, an expansion, or one character.

    >>> end_of_part('"a b"c', 0), end_of_part("${A:-$(echo })}b", 0), end_of_part("ab", 0)
    (5, 15, 1)
    """
    char, following = text[at], text[at + 1 : at + 2]
    if char == "\\":
        return min(at + (3 if text.startswith("\r\n", at + 1) else 2), len(text))
    if char == "'":
        end = text.find("'", at + 1)
        return len(text) if end < 0 else end + 1
    if char in '"`':
        return _end_of_quotes(text, at, char)
    if char == "$" and following == "'":
        return _end_of_quotes(text, at + 1, "'")
    opened = at + 1 if char == "$" else at
    return (
        _end_of_nested(text, opened, text[opened]) if text[opened : opened + 1] in _opening(char) else at + 1
    )


def _opening(char: str) -> tuple[str, ...]:
    return ("(", "{") if char == "$" else ("(",)


def _end_of_quotes(text: str, at: int, quote: str) -> int:
    at += 1
    while at < len(text) and text[at] != quote:
        is_nested = quote == '"' and text[at] == "$" and text[at + 1 : at + 2] in ("(", "{")
        at = end_of_part(text, at) if is_nested or text[at] == "\\" else at + 1
    return min(at + 1, len(text))


def _end_of_nested(text: str, at: int, opening: str) -> int:
    """Where the bracket at `at` is closed."""
    closing, depth = _CLOSING[opening], 0
    while at < len(text):
        if text[at] == opening:
            depth += 1
            at += 1
        elif text[at] == closing:
            depth -= 1
            at += 1
            if depth == 0:
                return at
        elif text[at] == "#" and text[at - 1] in " \t\n(" and opening == "(":
            at = _end_of_line(text, at)
        else:
            at = at + 1 if text[at] in "()" else end_of_part(text, at)
    return at


def split_words(text: str) -> Iterator[tuple[str, int]]:
    """Yield the words in a text such as the inside of an array, without operators, each with the lines above it.

    >>> list(split_words("--a 1 # one\\n 'b c'"))
    [('--a', 0), ('1', 0), ("'b c'", 1)]
    """
    yield from ((token.text, token.line - 1) for token in read_tokens(text) if not token.is_operator)
