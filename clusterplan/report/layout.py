"""Aligned tables as text, with colours only where asked for."""

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 120  # columns where there is no terminal to ask


class Page:
    """Text built from tables and lines; `str(page)` is the whole of it."""

    def __init__(self, width: int | None, *, colour: bool) -> None:
        self._file = StringIO()
        self._console = Console(
            file=self._file,
            width=width or PLAIN_WIDTH,
            force_terminal=colour,
            color_system="standard" if colour else None,
            highlight=False,
            legacy_windows=False,
        )

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self._file.getvalue().splitlines()) + "\n"

    def line(self, text: str = "", style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def facts(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Name, answer, remark: the answer stands out."""
        table = Table.grid(padding=(0, 3, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(style="bold cyan", overflow="fold")
        table.add_column(overflow="fold")
        for name, answer, remark in rows:
            table.add_row(Text(name), Text(answer), Text(remark))
        self._console.print(table)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> None:
        """A table with a header; the columns numbered in `right` are right-aligned."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for i, title in enumerate(header):
            table.add_column(title, justify="right" if i in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console.print(table)

    def notes(self, rows: Iterable[tuple[str, str]]) -> None:
        """Code and one line each."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="yellow", no_wrap=True)
        table.add_column(overflow="fold")
        for code, text in rows:
            table.add_row(Text(code), Text(text))
        self._console.print(table)
