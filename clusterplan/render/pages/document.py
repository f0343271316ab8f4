"""The frame of an HTML file that stands alone: its head, its style, its script, and its islands of data."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..charts import figure
from ..charts.escaped import escape_text

_HERE = Path(__file__)
STYLE = figure.STYLE + _HERE.with_name("page.css").read_text(encoding="utf-8")
SCRIPT = _HERE.with_name("charts.js").read_text(encoding="utf-8")


def render_document(title: str, body: str, data: Mapping[str, Any] | None = None) -> str:
    """Return the text of one HTML file.

    `body` is HTML.  Each value of `data` is an island: a `<script type="application/json">` whose id is its key.  The
    policy in the head lets the page run this style and this script alone, and load nothing
    (https://www.w3.org/TR/CSP3/).

    >>> text = render_document("run <1>", "<main></main>")
    >>> "<title>run &lt;1&gt;</title>" in text, "src=" in text
    (True, False)
    """
    policy = (
        f"default-src 'none'; style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    islands = "".join(
        f'<script type="application/json" id="{escape_text(name)}">{island_text(value)}</script>'
        for name, value in (data or {}).items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        '<meta name="referrer" content="no-referrer"><meta name="generator" content="clusterplan">'
        f"<title>{escape_text(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>{body}\n{islands}<script>{SCRIPT}</script></body></html>\n"
    )


def island_text(value: Any) -> str:
    """Return a value as JSON inside a script element, which no text in it can end.

    >>> island_text({"name": "</script>"})
    '{"name":"\\\\u003c/script>"}'
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
