"""Aligned text, with colours on request.

Written out rather than taken from a library, because loading one cost a quarter of `clusterplan estimate`
(docs/benchmarks/cold-start.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from ..cluster_profiles.visible_text import show_controls
from .columns import columns_of, wrap, wrap_cell

PLAIN_WIDTH = 120  # columns where there is no terminal to ask
_NARROWEST = 30  # columns for wrapping the last cell; with fewer, the cell goes below its row
_BELOW = 4  # its indent there, in columns
_GAP = "  "


class Style(StrEnum):
    """ANSI codes."""

    PLAIN = ""
    BOLD = "\x1b[1m"
    ANSWER = "\x1b[1;36m"
    CODE = "\x1b[33m"
    GOOD = "\x1b[1;32m"
    BAD = "\x1b[1;31m"
    END = "\x1b[0m"


class Page:
    """Text built from lines and tables; `str(page)` is the whole of it.

    Whatever a text holds, it stays in its line and steers no terminal: `show_controls` makes that visible.
    """

    def __init__(self, width: int | None, *, colour: bool) -> None:
        self._width = width or PLAIN_WIDTH
        self._colour = colour
        self._lines: list[str] = []
        self._marks: dict[str, Style] = {}

    @property
    def width(self) -> int:
        """Return its columns."""
        return self._width

    def __str__(self) -> str:
        return "".join(f"{line.rstrip()}\n" for line in self._lines)

    def mark(self, cells: Mapping[str, Style]) -> None:
        """Give the cells that hold exactly one of these texts a style of their own."""
        self._marks.update(cells)

    def line(self, text: str = "", style: Style = Style.PLAIN) -> None:
        """Add one line that the terminal wraps, so that text to copy stays whole."""
        self._lines.append(self._styled(show_controls(text), style))

    def sentence(self, text: str, style: Style = Style.PLAIN) -> None:
        """Add text to read, wrapped to the page."""
        self._lines += [self._styled(line, style) for line in wrap(show_controls(text), self._width)]

    def facts(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Add rows of name, answer and remark; the answer stands out."""
        self._columns(list(rows), styles=(Style.BOLD, Style.ANSWER))

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        right: Sequence[int] = (),
        first_to_go: Sequence[str] = (),
    ) -> Sequence[str]:
        """Add a table with a header, and return the titles of its columns; those numbered in `right` align right.

        If it is wider than the page, empty columns are left out, then those of `first_to_go` one after another; a line
        below the table names these.
        """
        rows = [[show_controls(cell) for cell in row] for row in rows]
        columns = {title: (title, *cells) for title, *cells in zip(header, *rows, strict=True)}
        right_titles, dropped_titles = {header[i] for i in right}, list[str]()
        empty = [title for title, (_, *cells) in columns.items() if not any(cells)]
        for title in (*empty, *first_to_go):
            widths = [max(map(columns_of, cells)) for cells in columns.values()]
            if title in columns and sum(widths) + len(_GAP) * (len(widths) - 1) > self._width:
                del columns[title]
                dropped_titles += [title] if title not in empty else []
        places = [i for i, title in enumerate(columns) if title in right_titles]
        self._columns(list(zip(*columns.values(), strict=True)), right=places, header=True)
        if dropped_titles:
            self.sentence(f"({', '.join(dropped_titles)} left out to fit into {self._width} columns)")
        return list(columns)

    def notes(self, rows: Iterable[tuple[str, str]]) -> None:
        """Add rows of a code and its text."""
        self._columns(list(rows), styles=(Style.CODE,))

    def _columns(
        self,
        rows: Sequence[Sequence[str]],
        right: Sequence[int] = (),
        styles: Sequence[Style] = (),
        *,
        header: bool = False,
    ) -> None:
        """Rows in aligned columns; text in the last one is wrapped under itself, or where little is left below its row."""
        rows = [[show_controls(cell) for cell in row] for row in rows]
        if not rows:
            return
        widths = [max(map(columns_of, column)) for column in zip(*rows, strict=True)]
        if (
            not header and len(widths) > 1
        ):  # a long answer without a remark pushes the remarks of others aside
            widths[-2] = max((columns_of(row[-2]) for row in rows if row[-1]), default=widths[-2])
        before = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
        numbers, last_width = len(widths) - 1 in right, self._width - before
        below = not numbers and last_width < max(min(widths[-1], _NARROWEST), 1)
        if below:
            before, last_width = _BELOW, max(self._width - _BELOW, _NARROWEST)
        for number, row in enumerate(rows):
            cells = []
            for i, cell in enumerate(row[:-1]):
                blanks = " " * (widths[i] - columns_of(cell))
                padded = blanks + cell if i in right else cell + blanks
                plain = styles[i] if i < len(styles) else Style.PLAIN
                style = Style.BOLD if header and not number else self._marks.get(cell, plain)
                cells.append(self._styled(padded, style))
            lines = (
                [" " * (widths[-1] - columns_of(row[-1])) + row[-1]]
                if numbers
                else wrap_cell(row[-1], last_width)
            )
            first = "" if below else next(iter(lines), "")
            cells.append(self._styled(first, Style.BOLD if header and not number else Style.PLAIN))
            self._lines.append(_GAP.join(cells))
            self._lines += [" " * before + line for line in lines[not below :]]

    def _styled(self, text: str, style: Style) -> str:
        return f"{style}{text}{Style.END}" if self._colour and style and text.strip() else text
