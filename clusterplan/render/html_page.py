"""A page as HTML, for notebooks: plain tables and lines, everything escaped, no script."""

import sys
from collections.abc import Sequence
from html import escape

from ..cluster_profiles.visible_text import show_controls
from .layout import Page, Style

_TAGS = {
    Style.PLAIN: "",
    Style.BOLD: "b",
    Style.ANSWER: "b",
    Style.CODE: "code",
    Style.GOOD: "b",
    Style.BAD: "b",
}


class HtmlPage(Page):
    """The same lines and tables, as wide as they are; `str(page)` is one `<div>`.

    >>> page = HtmlPage()
    >>> page.facts([("a < b", "1", "")])
    >>> "<b>a &lt; b</b>" in str(page)
    True
    """

    def __init__(self) -> None:
        super().__init__(sys.maxsize, colour=False)

    def __str__(self) -> str:
        return "\n".join(('<div class="clusterplan">', *self._lines, "</div>"))

    def line(self, text: str = "", style: Style = Style.PLAIN) -> None:
        """Add one line."""
        self._lines.append(f"<div>{_tagged(text, style)}</div>" if text else "<br>")

    def sentence(self, text: str, style: Style = Style.PLAIN) -> None:
        """Add text, which the browser wraps."""
        self.line(text, style)

    def _columns(
        self,
        rows: Sequence[Sequence[str]],
        right: Sequence[int] = (),
        styles: Sequence[Style] = (),
        *,
        header: bool = False,
    ) -> None:
        lines = []
        for number, row in enumerate(rows):
            tag = "th" if header and not number else "td"
            cells = []
            for i, cell in enumerate(row):
                align = ' style="text-align: right"' if i in right else ' style="text-align: left"'
                style = styles[i] if i < len(styles) else Style.PLAIN
                cells.append(f"<{tag}{align}>{_tagged(cell, style)}</{tag}>")
            lines.append(f"<tr>{''.join(cells)}</tr>")
        self._lines += ["<table>", *lines, "</table>"]


def _tagged(text: str, style: Style) -> str:
    """Blanks count: a sparkline begins with some."""
    shown, tag = escape(show_controls(text)).replace("  ", "&nbsp; "), _TAGS[style]
    return f"<{tag}>{shown}</{tag}>" if tag and text.strip() else shown
