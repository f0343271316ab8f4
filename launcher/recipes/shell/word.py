"""A word after its expansion: what is known of it as text, the rest as it is written in the script."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Piece:
    """Text of a word; `is_known` is false of an expansion that only the run can make, such as `$(hostname)`.

    `line` is where it is written in the script, 0 where that is not known; it makes no difference to the text.
    """

    text: str
    is_known: bool = True
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Word:
    """The pieces of one word.

    >>> word = Word((Piece("/data/"), Piece("$JOB", is_known=False)))
    >>> word.text, word.is_known, word.for_shell()
    ('/data/$JOB', False, '"/data/$JOB"')
    """

    pieces: tuple[Piece, ...] = ()

    @classmethod
    def of(cls, text: str) -> "Word":
        """Return a word that is known."""
        return cls((Piece(text),)) if text else cls()

    @classmethod
    def joined(cls, pieces: Iterable[Piece]) -> "Word":
        """Return a word in which pieces of one kind that follow each other are one."""
        joined: list[Piece] = []
        for piece in pieces:
            if joined and joined[-1].is_known and piece.is_known:
                joined[-1] = Piece(joined[-1].text + piece.text, line=joined[-1].line or piece.line)
            elif piece.text:
                joined.append(piece)
        return cls(tuple(joined))

    @property
    def line(self) -> int:
        """Return the line of the script on which the word is written; 0 if that is not known."""
        return next((piece.line for piece in self.pieces if piece.line), 0)

    @property
    def text(self) -> str:
        """Return the word; expansions that are not known stand in it as they are written."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def is_known(self) -> bool:
        """Return whether every piece is known."""
        return all(piece.is_known for piece in self.pieces)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return the expansions that are not known, as they are written."""
        return tuple(piece.text for piece in self.pieces if not piece.is_known)

    def for_shell(self) -> str:
        """Return the word in quotes, so that a shell makes this word of it, and the expansions that are left."""
        if self.is_known:
            return shlex.quote(self.text)
        escaped = (
            piece.text if not piece.is_known else "".join(f"\\{c}" if c in '"\\$`' else c for c in piece.text)
            for piece in self.pieces
        )
        return f'"{"".join(escaped)}"'

    def rest(self, length: int) -> "Word":
        """Return the word without its first characters, which are known."""
        first = self.pieces[0].text if self.pieces else ""
        kept = (replace(self.pieces[0], text=first[length:]),) if first[length:] else ()
        return Word((*kept, *self.pieces[1:]))

    def at_line(self, line: int) -> "Word":
        """Return the word as if it were written on that line."""
        return Word(tuple(replace(piece, line=line) for piece in self.pieces))


def join_words(words: Iterable[Word]) -> Word:
    """Return words as one, with a space between."""
    pieces: list[Piece] = []
    for word in words:
        pieces += [Piece(" "), *word.pieces] if pieces else list(word.pieces)
    return Word.joined(pieces)
