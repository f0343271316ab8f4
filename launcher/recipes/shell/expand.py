"""The expansions of bash: variables, arithmetic, command substitutions that need no machine, and word splitting.  Pure."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import replace

from .arithmetic import calculate
from .commands import Redirection
from .scope import Scope, Value, fill_in
from .tokens import end_of_part
from .word import Piece, Word, join_words

_NAME = re.compile(r"[A-Za-z_]\w*|\d|[@*#?$!-]")
_PARAMETER = re.compile(r"(#?)([A-Za-z_]\w*|\d+|[@*#])(\[[^\]]*\])?(.*)", re.DOTALL)
_PART = re.compile(r":\s*(\d+)(?::\s*(\d+))?")
_LIST = re.compile(r"\$\{(?:@|[A-Za-z_]\w*\[@\])[^}]*\}")
_SPACES = " \t\n"


class _Words:
    """Words that are being put together."""

    def __init__(self, line: int = 0) -> None:
        self.words: list[Word] = []
        self.pieces: list[Piece] | None = None
        self.line = line  # of what is added next, where it does not know its own

    def add(self, *pieces: Piece) -> None:
        here = [replace(piece, line=piece.line or self.line) for piece in pieces]
        self.pieces = [*(self.pieces or []), *here]

    def end(self) -> None:
        if self.pieces is not None:
            self.words.append(Word.joined(self.pieces))
        self.pieces = None

    def add_split(self, word: Word) -> None:
        """Add an expansion without quotes: spaces in what is known part words."""
        for piece in word.pieces:
            if not piece.is_known:
                self.add(piece)
                continue
            line = piece.line
            for part in re.findall(rf"[{_SPACES}]+|[^{_SPACES}]+", piece.text):
                self.end() if part[0] in _SPACES else self.add(Piece(part, line=line))
                line += part.count("\n") if line else 0

    def add_list(self, words: Sequence[Word]) -> None:
        """Add `"$@"`: each a word of its own."""
        for number, word in enumerate(words):
            if number:
                self.end()
            self.add(*word.pieces)


def expand_word(raw: str, scope: Scope, *, splits: bool = True, line: int = 0) -> list[Word]:
    """Return the words that one word of a script becomes; exactly one if it `splits` not, as in an assignment.

    They know that they are written on `line` and below; what a variable holds is written where it was assigned.

    >>> scope = Scope({"A": Word.of("1 2"), "L": (Word.of("--lr"), Word.of("3 4"))})
    >>> [word.text for word in expand_word('x$A"$A"', scope)], [word.text for word in expand_word('"${L[@]}"', scope)]
    (['x1', '21 2'], ['--lr', '3 4'])
    >>> expand_word("/data/$USER_NAME", scope)[0].unknown
    ('$USER_NAME',)
    """
    words = _Words(line)
    text = raw
    if re.match(r"~(/|$)", text) and (home := scope.text("HOME")):
        words.add(Piece(home))
        text = text[1:]
    _expand(text, scope, words, quoted=False, splits=splits)
    words.end()
    if splits:
        return words.words
    return [join_words(words.words)]


def expand_text(text: str, scope: Scope, line: int = 0) -> Word:
    """Return the text of a here-document, or of anything in double quotes, with its expansions."""
    words = _Words(line)
    _expand(text, scope, words, quoted=True, splits=True)
    words.end()
    return join_words(words.words)


def here_text(document: Redirection, scope: Scope) -> Word:
    """Return the text of a here-document, with its expansions unless its delimiter is quoted."""
    body = document.body or ""
    first = document.line and document.line + 1
    return Word.of(body).at_line(first) if document.target[:1] in "'\"\\" else expand_text(body, scope, first)


def _expand(text: str, scope: Scope, words: _Words, *, quoted: bool, splits: bool) -> None:
    at, first = 0, words.line
    while at < len(text):
        words.line = first and first + text.count("\n", 0, at)
        char, end = text[at], end_of_part(text, at)
        part = text[at:end]
        if char == "\\":
            _add_escaped(part, words, quoted=quoted)
        elif char == "'" and not quoted:
            words.add(Piece(part[1:-1]))
        elif char == '"' and not quoted:
            if not _is_empty_list(part[1:-1], scope):
                words.add()
            _expand(part[1:-1], scope, words, quoted=True, splits=splits)
        elif char == "$" and part.startswith("$'"):
            words.add(Piece(part[2:-1].encode().decode("unicode_escape")))
        elif char == "`" or (char == "$" and len(part) > 1):
            _add_value(_expansion(part, scope), words, quoted=quoted or not splits, raw=part)
        elif char == "$" and (name := _NAME.match(text, at + 1)):
            end = name.end()
            part = text[at:end]
            _add_value(_parameter(name[0], part, scope), words, quoted=quoted or not splits, raw=part)
        else:
            words.add(Piece(char if quoted else part))
            end = at + 1 if quoted else end
        at = end
    words.line = first and first + text.count("\n")


def _is_empty_list(text: str, scope: Scope) -> bool:
    """Whether the text in quotes is a list without a word, such as `$@` of a script without arguments: no word at all."""
    if text in ("$@", "${@}"):
        return not scope.arguments
    return _LIST.fullmatch(text) is not None and _braces(text, scope) == ()


def _add_escaped(part: str, words: _Words, *, quoted: bool) -> None:
    following = part[1:]
    if following in ("\n", "\r\n"):
        return
    words.add(Piece(part if quoted and following not in '$`"\\' else following))


def _add_value(value: Value, words: _Words, *, quoted: bool, raw: str = "") -> None:
    if isinstance(value, tuple) and quoted:
        words.add_list([join_words(value)] if raw in ("$*", "${*}") or raw.endswith("[*]}") else value)
    elif isinstance(value, tuple):
        words.add_split(join_words(value))
    elif quoted:
        words.add(*value.pieces)
    else:
        words.add_split(value)


def _unknown(raw: str) -> Word:
    return Word((Piece(raw, is_known=False),))


def _parameter(name: str, raw: str, scope: Scope) -> Value:
    value = scope.value(name)
    if value is None:
        return _unknown(raw)
    if isinstance(value, tuple) and name not in ("@", "*"):
        return value[0] if value else Word()
    return value


def _expansion(raw: str, scope: Scope) -> Value:
    """The value of `${...}`, `$((...))`, `$(...)` or of a command in backquotes."""
    if raw.startswith("$(("):
        inner = expand_text(raw[3:-2], scope)
        number = calculate(inner.text, scope.text) if inner.is_known or "$" not in inner.text else None
        return _unknown(raw) if number is None else Word.of(str(number))
    if raw.startswith("${"):
        return _braces(raw, scope)
    command = raw[2:-1] if raw.startswith("$(") else raw[1:-1]
    output = scope.substitute(command, scope)
    return _unknown(fill_in(raw, scope)) if output is None else output


def _braces(raw: str, scope: Scope) -> Value:
    match = _PARAMETER.fullmatch(raw[2:-1])
    if not match:
        return _unknown(raw)
    counts, name, index, operation = match.groups()
    value = scope.value(name)
    if index in ("[@]", "[*]"):
        value = value if isinstance(value, tuple) or value is None else (value,)
    elif isinstance(value, tuple) and name not in ("@", "*"):
        number = calculate(index[1:-1], scope.text) if index else 0
        value = value[number] if number is not None and -len(value) <= number < len(value) else None
    if counts and not operation:
        return _length(value, raw)
    if operation:
        return _operate(value, operation, raw, scope)
    return value if value is not None else _unknown(raw if index else f"${name}")


def _length(value: Value | None, raw: str) -> Word:
    if isinstance(value, tuple):
        return Word.of(str(len(value)))
    return Word.of(str(len(value.text))) if value and value.is_known else _unknown(raw)


def _operate(value: Value | None, operation: str, raw: str, scope: Scope) -> Value:
    """The value of a parameter with a default, a part taken off, or a part replaced."""
    default = re.match(r":?([-=+?])(.*)", operation, re.DOTALL)
    if default:
        is_empty = value in (None, Word(), ())
        if default[1] == "+":
            return Word() if is_empty else expand_word(default[2], scope, splits=False)[0]
        if not is_empty and value is not None:
            return value
        return _unknown(raw) if default[1] == "?" else expand_word(default[2], scope, splits=False)[0]
    if isinstance(value, tuple) and (part := _PART.fullmatch(operation)):
        start = int(part[1]) - (raw[2] in "@*")  # $1 is the first argument
        return value[start : start + int(part[2])] if part[2] else value[start:]
    if not isinstance(value, Word) or not value.is_known:
        return _unknown(raw)
    text = _edit(value.text, operation, scope)
    return _unknown(raw) if text is None else Word.of(text)


def _edit(text: str, operation: str, scope: Scope) -> str | None:
    if cut := re.fullmatch(r"(##?|%%?)(.*)", operation, re.DOTALL):
        return _cut(text, cut[1], expand_word(cut[2], scope, splits=False)[0].text)
    if replaced := re.fullmatch(r"/(/?)((?:\\.|[^/])+)/?(.*)", operation, re.DOTALL):
        pattern = (
            fnmatch.translate(re.sub(r"\\(.)", r"\1", replaced[2])).removesuffix(r"\Z").removesuffix(r"\z")
        )
        return re.sub(pattern, lambda _: replaced[3], text, count=0 if replaced[1] else 1)
    if part := _PART.fullmatch(operation):
        start = int(part[1])
        return text[start : start + int(part[2])] if part[2] else text[start:]
    return {",,": text.lower(), "^^": text.upper(), "^": text[:1].upper() + text[1:]}.get(operation)


def _cut(text: str, side: str, pattern: str) -> str:
    from_front, greedy = side[0] == "#", len(side) > 1
    lengths = range(len(text) + 1)
    for length in reversed(lengths) if greedy else lengths:
        part = text[:length] if from_front else text[len(text) - length :]
        if fnmatch.fnmatchcase(part, pattern):
            return text[length:] if from_front else text[: len(text) - length]
    return text
