"""The gate before all pages: who shows no token gets no answer but how to get one, and nobody can send what writes.

It wraps the whole application, so it holds for Datasette's own pages, its files and its JSON too.  On a login node
every user can reach a port of this machine, and a page of any site can send a browser's requests to one.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..answer import Answer, error_answer
from .keys import Keys, Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOME = "/-/clusterplan/"
ENTRY = f"{HOME}enter"
ESTIMATE = f"{HOME}estimate.json"  # the one address that takes a body
MOST_BODY_BYTES = 64 * 1024
_MOST_FIELDS = 10
_SECRET = (b"authorization", b"cookie")  # of no use behind the gate, where a log might have them
NEXT_LINK = "`clusterplan serve` printed its process id: `kill -USR1 ID` makes it print another link."

_HEADERS = {
    "content-security-policy": "default-src 'self' data:; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",  # Datasette's pages have scripts in them
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "vary": "cookie",
}


class Gate:
    """An ASGI application that lets requests with a token through to `app`; `port` tells its cookie from another server's."""

    def __init__(self, app: App, keys: Keys, port: int = 0) -> None:
        self._app, self._keys, self._cookie = app, keys, f"clusterplan_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or give it to the application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.lower().decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        wants_json = scope["path"].endswith(".json") or "json" in headers.get("content-type", "")
        if scope["path"] == ENTRY and scope["method"] == "GET":
            await self._enter(scope["query_string"]).send(send)
            return
        refusal = self._refusal(scope, headers)
        body = b""
        if refusal is None and scope["method"] == "POST":
            body, refusal = await _read_body(headers, receive)
        if refusal is not None:
            await error_answer(*refusal, as_json=wants_json).send(send)
            return
        inner = {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() not in _SECRET]}
        await self._app(inner, _replay(body, receive) if scope["method"] == "POST" else receive, send)

    def _enter(self, query: bytes) -> Answer:
        try:
            fields = parse_qs(query.decode("latin-1"), max_num_fields=_MOST_FIELDS)
        except ValueError:
            fields = {}
        session = self._keys.exchange(fields.get("token", [""])[0])
        if isinstance(session, Refusal):
            return error_answer(HTTPStatus.UNAUTHORIZED, f"{session.value} {NEXT_LINK}", as_json=False)
        cookie = f"{self._cookie}={session}; Path=/; HttpOnly; SameSite=Strict"
        # A cookie that is strict is not sent along by a link of another site: the page moves on by itself.
        return Answer(
            HTTPStatus.OK, _MOVE_ON, "text/html", {"set-cookie": cookie, "cache-control": "no-store"}
        )

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[HTTPStatus, str] | None:
        """Return the status and the reason if a request is not let through."""
        if not self._is_let_in(headers):
            return HTTPStatus.UNAUTHORIZED, f"Open the link that `clusterplan serve` printed. {NEXT_LINK}"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if scope["method"] != "POST" or scope["path"] != ESTIMATE:
            return (
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{scope['method']} is for {ESTIMATE} alone, as POST: nothing here is written.",
            )
        if _is_of_another_site(headers):
            return HTTPStatus.FORBIDDEN, "This request was sent by a page of another site."
        return None

    def _is_let_in(self, headers: Mapping[str, str]) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._keys.is_program_token(token.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return cookie is not None and self._keys.is_session(cookie.value)


_MOVE_ON = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>clusterplan</title>'
    f'<meta http-equiv="refresh" content="0; url={HOME}"><p>This link has done its work. <a href="{HOME}">Go on to the pages</a>.</p>'
)


def _is_of_another_site(headers: Mapping[str, str]) -> bool:
    """Return whether a browser says that another site's page sent this; a program says nothing of it."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


async def _read_body(
    headers: Mapping[str, str], receive: Receive
) -> tuple[bytes, tuple[HTTPStatus, str] | None]:
    too_large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body may have {MOST_BODY_BYTES:,} bytes at most."
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
        return b"", too_large
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"", (HTTPStatus.BAD_REQUEST, "The body ended early.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BODY_BYTES:
            return b"", too_large
        if not message.get("more_body"):
            return b"".join(parts), None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives the application a body that was read before, and afterwards what else happens."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


def _with_headers(send: Send) -> Send:
    """Return what sends an answer with our headers, where it has none of its own of that name."""

    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message.get("headers", [])}
            more = [(k.encode(), v.encode()) for k, v in _HEADERS.items() if k.encode() not in own]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return send_more
