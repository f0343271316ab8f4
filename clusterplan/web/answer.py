"""Answers of our own: JSON, text and HTML, and errors as one line."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Any

from ..cluster_profiles.visible_text import show_controls


@dataclass(frozen=True)
class Answer:
    """What a request gets: a status, a body of a media type in UTF-8, and further headers."""

    status: int
    body: str
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        """Send it as an ASGI application does."""
        body = self.body.encode("utf-8", "backslashreplace")
        headers = {"content-type": self.content_type, "content-length": str(len(body)), **self.headers}
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": int(self.status), "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    @property
    def content_type(self) -> str:
        """Return the value of Content-Type."""
        return f"{self.media_type}; charset=utf-8"


def json_answer(value: object, status: int = HTTPStatus.OK) -> Answer:
    """Return a value as JSON."""
    return Answer(status, json.dumps(value), "application/json")


def error_answer(status: int, text: str, *, as_json: bool) -> Answer:
    """Return an error as `{"error": one line}`, or as a small page."""
    line = " ".join(text.split())
    headers = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    if as_json:
        return Answer(status, json.dumps({"error": line}), "application/json", headers)
    words = escape(show_controls(line))
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{int(status)} - clusterplan</title>'
        '<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark}'
        "body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}</style></head>"
        f"<body><main><h1>{HTTPStatus(status).phrase}</h1><p>{words}</p></main></body></html>"
    )
    return Answer(status, page, "text/html", headers)
