"""Aligned text, with colours only where asked for.

Written out rather than taken from a library, because loading one cost a quarter of `clusterplan estimate`
(docs/explanation/cold-start.md).
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

PLAIN_WIDTH = 120  # columns where there is no terminal to ask
_NARROWEST = 20  # columns left for a wrapped cell, however narrow the terminal
_GAP = "  "


class Style(StrEnum):
    """ANSI codes."""

    PLAIN = ""
    BOLD = "\x1b[1m"
    ANSWER = "\x1b[1;36m"
    CODE = "\x1b[33m"
    END = "\x1b[0m"


class Page:
    """Text built from lines and tables; `str(page)` is the whole of it."""

    def __init__(self, width: int | None, *, colour: bool) -> None:
        self._width = width or PLAIN_WIDTH
        self._colour = colour
        self._lines: list[str] = []

    def __str__(self) -> str:
        return "".join(f"{line.rstrip()}\n" for line in self._lines)

    def holds(self, columns: Mapping[str, Sequence[str]]) -> bool:
        """Whether a table of these columns, by their titles, is no wider than the page."""
        widths = [max(map(len, (title, *cells))) for title, cells in columns.items()]
        return sum(widths) + len(_GAP) * (len(widths) - 1) <= self._width

    def line(self, text: str = "", style: Style = Style.PLAIN) -> None:
        """One line, left to the terminal to wrap."""
        self._lines.append(self._styled(text, style))

    def facts(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Name, answer, remark: the answer stands out."""
        self._columns(list(rows), styles=(Style.BOLD, Style.ANSWER))

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> None:
        """A table with a header; the columns numbered in `right` are right-aligned."""
        self._columns([header, *rows], right=right, header=True)

    def notes(self, rows: Iterable[tuple[str, str]]) -> None:
        """Code and one sentence each."""
        self._columns(list(rows), styles=(Style.CODE,))

    def _columns(
        self,
        rows: Sequence[Sequence[str]],
        right: Sequence[int] = (),
        styles: Sequence[Style] = (),
        *,
        header: bool = False,
    ) -> None:
        """Rows in aligned columns; the last column is wrapped under itself."""
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        before = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
        last = max(self._width - before, _NARROWEST)
        for number, row in enumerate(rows):
            cells = []
            for i, cell in enumerate(row[:-1]):
                padded = cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
                style = Style.BOLD if header and not number else styles[i] if i < len(styles) else Style.PLAIN
                cells.append(self._styled(padded, style))
            aligned = row[-1].rjust(widths[-1]) if len(row) - 1 in right else row[-1]
            first, *more = textwrap.wrap(aligned, last, drop_whitespace=False) or [""]
            cells.append(self._styled(first, Style.BOLD if header and not number else Style.PLAIN))
            self._lines.append(_GAP.join(cells))
            self._lines += [" " * before + line.lstrip() for line in more]

    def _styled(self, text: str, style: Style) -> str:
        return f"{style}{text}{Style.END}" if self._colour and style and text.strip() else text
