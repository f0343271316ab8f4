"""Text of others inside HTML and SVG, and numbers as attributes."""

from html import escape

from ...cluster_profiles.visible_text import show_controls


def escape_text(text: str) -> str:
    r"""Return a text as HTML and XML show it: never a tag, never a control character.

    >>> escape_text("<script>\x1b[2J")
    '&lt;script&gt;\\x1b[2J'
    """
    return escape(show_controls(text))


def escape_prose(text: str) -> str:
    """Return a sentence as HTML, in which what stands between backticks is code.

    >>> escape_prose("a < b: `run x`")
    'a &lt; b: <code>run x</code>'
    """
    pieces = [escape_text(piece) for piece in text.split("`")]
    if len(pieces) % 2 == 0:
        return escape_text(text)
    return "".join(f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces))


def format_place(value: float) -> str:
    """Return a place on a chart, to a tenth of a unit.

    >>> format_place(12.04), format_place(99.96)
    ('12', '100')
    """
    return f"{value:.1f}".removesuffix(".0")
