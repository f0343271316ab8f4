"""The frame of every page: its head, the links to all pages, and its style; no page has a script."""

from http import HTTPStatus

from ...render.pages.document import STYLE
from ..access.gate import HOME
from ..answer import Answer
from .html import Html, Part, join, link, tag

PAGES = (
    ("", "Overview"),
    ("runs", "Runs"),
    ("estimate", "Estimate"),
    ("schedule", "Plan"),
    ("queue", "Queue"),
    ("gpus", "GPUs"),
)
_MORE = """
.top{display:flex;flex-wrap:wrap;gap:.2rem 1rem;align-items:baseline;border-bottom:1px solid var(--hair);padding-bottom:.6rem;margin-bottom:1.4rem}
.top strong{margin-right:.6rem}
.top a{padding:.25rem 0;text-decoration:none}
.top a:hover,.top a[aria-current]{text-decoration:underline}
.top a[aria-current]{color:var(--ink);font-weight:600}
form.fields{display:grid;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr));gap:.5rem .9rem;align-items:end;margin:1rem 0}
form.fields p{margin:0}
label{display:block;font-size:.82rem;color:var(--quiet)}
input,select{font:inherit;width:100%;color:var(--ink);background:var(--paper);border:1px solid var(--wait);border-radius:.3rem;padding:.3rem .5rem}
button{cursor:pointer;padding:.35rem .9rem}
.wide table{min-width:100%}
.terminal table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
.terminal td,.terminal th{padding:.15rem .9rem .15rem 0;vertical-align:top}
.terminal{overflow-x:auto;max-width:100%}
.skip{position:absolute;left:-99rem}.skip:focus{left:.5rem}
.wide,.terminal{overflow-wrap:normal}
.wide td:first-child{min-width:9rem}
.terminal td:last-child{min-width:8rem}
.terminal+.chart,.terminal+p{margin-top:1.6rem}
p a[aria-current]{color:var(--ink);font-weight:600;text-decoration:none}
.wide .state{font-size:.8rem;padding:0 .45rem}
.callout ul{margin:0;padding-left:1.1rem}
@media (max-width:560px){.wide table{width:max-content}.wide td{max-width:16rem}}
"""
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def page(title: str, current: str, *parts: Part, database: str, status: int = HTTPStatus.OK) -> Answer:
    """Return a page with its parts; `current` is its place in `PAGES`, `database` Datasette's name of the history."""
    links = [
        tag("a", name, href=place or HOME, aria_current="page" if place == current else None)
        for place, name in PAGES
    ]
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<base href="{HOME}"><link rel="icon" href="data:,">{tag("title", f"{title} - clusterplan")}<style>{STYLE}{_MORE}</style></head>'
    )
    body = join(
        tag("a", "Skip to the page", href="#main", class_="skip"),
        tag(
            "nav",
            tag("strong", "clusterplan"),
            *links,
            link(f"/{database}", "SQL and tables"),
            class_="top",
            aria_label="Pages",
        ),
        tag("main", tag("h1", title), *parts, id="main"),
    )
    return Answer(
        status, f"{head}\n<body>{body}</body></html>\n", "text/html", {"content-security-policy": _POLICY}
    )


def terminal(text: object) -> Html:
    """Return what a result prints on a terminal, as tables: an answer of `api/` has this as HTML."""
    inner = Html(text._repr_html_())  # type: ignore[attr-defined]
    return tag("div", inner, class_="terminal", tabindex="0", role="region", aria_label="as on a terminal")
