"""The columns of a terminal that a text takes, and text wrapped or shortened to some: a Chinese letter takes two.

`rich.cells` has the table of Unicode; it is loaded for text that needs it only.
"""

import re
import textwrap
from collections.abc import Iterator

# Letters and signs of one column each: Latin, Greek, Cyrillic, and those that our own pages draw with.
_NARROW = re.compile(
    "[ -~\u00a0-\u00ac\u00ae-\u02ff\u0370-\u0482\u2010-\u2027\u2190-\u2193\u2260-\u2265\u2500-\u25fc\u2800-\u28ff]*"
)
_NO_FIRST = "\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f\uff09\u300b\u300d\u300f\u3011\u2026"  # of a line: Chinese commas and brackets
_CUT = "…"


def columns_of(text: str) -> int:
    """Return the columns that a text takes: a Chinese letter or an emoji takes two, a combining accent none.

    >>> columns_of("lr-1e-3"), columns_of("\u8bad\u7ec3"), columns_of("e\u0301"), columns_of("\U0001f469\u200d\U0001f52c")
    (7, 4, 1, 2)
    """
    if _NARROW.fullmatch(text):
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415  Unicode's table, for plain text

    return cell_len(text)


def wrap(text: str, width: int) -> list[str]:
    """Return a sentence in lines of at most `width` columns; all but the first are indented by two more.

    >>> wrap("  one --two-three four", 14)
    ['  one', '    --two-three', '    four']
    """
    return _Wrapper(width, subsequent_indent=" " * (len(text) - len(text.lstrip()) + 2)).wrap(text)


def wrap_cell(cell: str, width: int) -> list[str]:
    """Return a cell in lines of at most `width` columns; leading blanks stay, because a sparkline may begin with some."""
    if columns_of(cell) <= width:
        return [cell] if cell else []
    lines = _Wrapper(width, drop_whitespace=False).wrap(cell)
    return [line.lstrip() if number else line for number, line in enumerate(lines)]


def shorten_middle(text: str, width: int) -> str:
    """Return a text in at most `width` columns, cut in its middle: a run is known by both ends of its name.

    >>> shorten_middle("finetune-20261128T101500-0a1b", 20)
    'finetune-2…1500-0a1b'
    """
    if columns_of(text) <= width:
        return text
    pieces, left, right = list(_graphemes(text)), list[str](), list[str]()
    room = width - columns_of(_CUT)
    while pieces:
        is_left = columns_of("".join(left)) <= columns_of("".join(right))
        piece = pieces.pop(0 if is_left else -1)
        room -= columns_of(piece)
        if room < 0:
            break
        (left if is_left else right).append(piece)
    return f"{''.join(left)}{_CUT}{''.join(reversed(right))}"


class _Piece(str):
    """A part of a line that stays whole; its length is in columns."""

    __slots__ = ()

    def __len__(self) -> int:
        return columns_of(str(self))


class _Wrapper(textwrap.TextWrapper):
    """Wraps text by its columns: at blanks, and between the letters of scripts that write none."""

    def __init__(self, width: int, *, subsequent_indent: str = "", drop_whitespace: bool = True) -> None:
        super().__init__(
            width,
            subsequent_indent=subsequent_indent,
            drop_whitespace=drop_whitespace,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def _split(self, text: str) -> list[str]:
        """Return the pieces between which a line may end; this is what textwrap asks."""
        chunks = super()._split(text)
        if _NARROW.fullmatch(text):
            return chunks
        return [_Piece(piece) for chunk in chunks for piece in _pieces(chunk)]


def _pieces(word: str) -> Iterator[str]:
    """Yield the parts of a word: each letter of two columns is one, with the comma or full stop behind it."""
    piece, is_wide = "", False
    for letter in _graphemes(word):
        goes_on = letter in _NO_FIRST or (not is_wide and columns_of(letter) < 2)  # noqa: PLR2004  a wide letter
        if piece and not goes_on:
            yield piece
            piece = ""
        piece, is_wide = piece + letter, columns_of(letter) > 1
    if piece:
        yield piece


def _graphemes(text: str) -> Iterator[str]:
    """Yield the letters of a text, each with the accents on it and the signs that are joined to it."""
    if _NARROW.fullmatch(text):
        yield from text
        return
    from rich.cells import split_graphemes  # noqa: PLC0415  Unicode's table, for plain text

    spans, _ = split_graphemes(text)
    for start, end, _ in spans:
        yield text[start:end]
