"""HTML by functions: whatever is no `Html` is text of somebody, and is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, urlencode

from ...render.charts.escaped import escape_prose, escape_text

_VOID = frozenset({"input", "br"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Part = str | Sequence["Part"] | None


def join(*parts: Part) -> Html:
    """Return parts in a row as HTML: text is escaped, None is left out.

    >>> join("<b>", Html("<i>x</i>"), None)
    '&lt;b&gt;<i>x</i>'
    """
    texts = list[str]()
    for part in parts:
        if isinstance(part, Html):
            texts.append(part)
        elif isinstance(part, str):
            texts.append(escape_text(part))
        elif part is not None:
            texts.append(join(*part))
    return Html("".join(texts))


def tag(name: str, /, *parts: Part, **attributes: str | bool | None) -> Html:
    """Return an element; an attribute that is None or False is left out, `class_` is `class`.

    >>> tag("a", "1 < 2", href="/x?a=1&b", class_="y")
    '<a href="/x?a=1&amp;b" class="y">1 &lt; 2</a>'
    """
    words = list[str]()
    for key, value in attributes.items():
        attribute = key.strip("_").replace("_", "-")
        if value is True:
            words.append(f" {attribute}")
        elif isinstance(value, str):
            words.append(f' {attribute}="{escape_text(value)}"')
    end = "" if name in _VOID else f"{join(*parts)}</{name}>"
    return Html(f"<{name}{''.join(words)}>{end}")


def link(address: str, *parts: Part) -> Html:
    """Return a link."""
    return tag("a", *parts, href=address)


def address_of(path: str, **query: object) -> str:
    """Return an address with a query; values that are None or empty are left out.

    >>> address_of("runs", name="a&b", user=None)
    'runs?name=a%26b'
    """
    values = {key: str(value) for key, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(values)}" if values else path


def run_address(run: str) -> str:
    """Return the address of a run's page, from the pages' own folder."""
    return f"run/{quote(run, safe='')}"


def sweep_address(sweep: str) -> str:
    """Return the address of a sweep's page, from the pages' own folder."""
    return f"sweep/{quote(sweep, safe='')}"


def in_a_row(links: Iterable[Html]) -> Html:
    """Return links with dots between them.

    >>> in_a_row([Html("<a>x</a>"), Html("<a>y</a>")])
    '<a>x</a> · <a>y</a>'
    """
    return Html(" · ".join(links))


def prose(text: str) -> Html:
    """Return a sentence in which what stands between backticks is code."""
    return Html(escape_prose(text))


def facts(values: Sequence[tuple[str, Part, Part]]) -> Html:
    """Return figures with their names, and a remark below each."""
    items = (
        tag("div", tag("dt", name), tag("dd", value, tag("small", remark) if remark else None))
        for name, value, remark in values
    )
    return tag("dl", *items, class_="facts")


def table(
    title: str, header: Sequence[Part], rows: Sequence[Sequence[Part]], numbers: Sequence[int] = ()
) -> Html:
    """Return a table that scrolls by itself where it is too wide; `numbers` are the columns that end at the right."""
    heads = [
        tag("th", cell, scope="col", class_="number" if place in numbers else None)
        for place, cell in enumerate(header)
    ]
    lines = [
        tag(
            "tr",
            *(
                tag("td", cell, class_="number" if place in numbers else None)
                for place, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    inner = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines))
    return tag("div", inner, class_="wide", tabindex="0", role="region", aria_label=title)


def field(name: str, label: str, value: str | None, *, hint: str = "", kind: str = "text") -> Html:
    """Return a labelled input of a form."""
    box = tag("input", id=f"f-{name}", name=name, value=value or "", placeholder=hint or None, type=kind)
    return tag("p", tag("label", label, for_=f"f-{name}"), box)


def choice(name: str, label: str, value: str | None, options: Mapping[str, str]) -> Html:
    """Return a labelled choice of a form, from words to what is shown of them."""
    items = [
        tag("option", shown, value=word, selected=word == (value or "")) for word, shown in options.items()
    ]
    return tag("p", tag("label", label, for_=f"f-{name}"), tag("select", *items, id=f"f-{name}", name=name))


def state_mark(state: str) -> Html:
    """Return a state in its colour; the word alone tells it too."""
    good, bad = {"completed"}, {"failed", "out_of_memory", "timed_out", "node_failure", "lost"}
    mood = " good" if state in good else " bad" if state in bad else ""
    return tag("span", state, class_=f"state{mood}")
