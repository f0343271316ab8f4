"""The answer of a use case: it prints as on a terminal, is a table in a notebook, and has the dict of `--json`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..render.layout import Page

if TYPE_CHECKING:
    from ..render.charts.figure import Figure

Item = TypeVar("Item")


class Result(ABC):
    """An answer that a person, a notebook and a program can read."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return sentences on everything that could not be read; the command line prints them on stderr."""
        return ()

    @abstractmethod
    def as_dict(self) -> Any:
        """Return what the command prints with `--json`."""

    @abstractmethod
    def write(self, page: Page) -> None:
        """Write on a page what the command prints."""

    def __repr__(self) -> str:
        return str(self._on(Page(None, colour=False))).rstrip("\n")

    def _repr_html_(self) -> str:
        from ..render.charts.figure import render_image  # noqa: PLC0415  the charts, for a terminal
        from ..render.html_page import HtmlPage  # noqa: PLC0415  the tables of the html module, likewise

        return "".join([str(self._on(HtmlPage())), *map(render_image, self._figures())])

    def _figures(self) -> "Iterable[Figure]":
        """Return the charts that a notebook shows below the tables."""
        return ()

    def _on(self, page: Page) -> Page:
        self.write(page)
        for remark in self.remarks:
            page.sentence(remark)
        return page


@dataclass(frozen=True, repr=False)
class Results(Result, Sequence[Item]):
    """Several answers side by side: a sequence of them."""

    items: tuple[Item, ...]

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...

    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)
