"""Parts of pages as HTML: facts, tables, callouts; every text in them is escaped."""

from collections.abc import Iterable, Sequence

from ..charts.escaped import escape_text
from ..charts.figure import Figure, render_figure

_SHORT = 40  # letters of a cell that stays on one line


def render_facts(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return rows of name, answer and remark as a list that is read at a glance; nothing if there are none."""
    items = "".join(
        f"<div><dt>{escape_text(name)}</dt><dd>{escape_text(answer)}"
        + (f"<small>{escape_text(remark)}</small>" if remark else "")
        + "</dd></div>"
        for name, answer, remark in rows
    )
    return f'<dl class="facts">{items}</dl>' if items else ""


def render_table(
    name: str, header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()
) -> str:
    """Return a table that scrolls by itself where it is wider than the page; columns numbered in `right` align right."""
    head = "".join(
        f'<th scope="col"{_kind(number, right)}>{escape_text(title)}</th>'
        for number, title in enumerate(header)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_kind(number, right, cell)}>{escape_text(cell)}</td>" for number, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape_text(name)}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _kind(column: int, right: Sequence[int], cell: str = "") -> str:
    if column in right:
        return ' class="number"'
    return ' class="short"' if 0 < len(cell) <= _SHORT else ""


def render_state(state: str) -> str:
    """Return a state as a word with a colour."""
    return f'<span class="state {kind_of_state(state)}">{escape_text(state.replace("_", " "))}</span>'


def kind_of_state(state: str) -> str:
    """Return whether a state is good, bad, or neither."""
    if state == "completed":
        return "good"
    return "" if state in ("running", "pending", "cancelled", "preempted") else "bad"


def render_section(name: str, title: str, parts: Iterable[str | Figure]) -> str:
    """Return a section with a title, whose parts are HTML and charts; nothing if it has none."""
    inner = "".join(render_figure(part) if isinstance(part, Figure) else part for part in parts)
    return (
        f'<section aria-labelledby="{name}"><h2 id="{name}">{escape_text(title)}</h2>{inner}</section>'
        if inner
        else ""
    )


def render_sentences(sentences: Iterable[str]) -> str:
    """Return sentences as quiet paragraphs."""
    return "".join(f'<p class="quiet">{escape_text(sentence)}</p>' for sentence in sentences)
