"""Our plugin of Datasette: pages and an API under `/-/clusterplan/`, and a link to them on each page.

Only hooks and calls that Datasette 0.65 and 1.0 share are used.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from datasette import Response, hookimpl

from .access.gate import HOME
from .answer import Answer, error_answer
from .routes import ROUTES, answer_request
from .site import Site

_LOG = logging.getLogger(__name__)
_SITE = "_clusterplan_site"


def serve_history(datasette: Any, history: Path) -> None:
    """Let the pages of a Datasette show a history file."""
    setattr(datasette, _SITE, Site(history))


async def answer_ahead(datasette: Any) -> None:
    """Make the pages that sum up the whole history, so that the first to open them need not wait."""
    for name in ("overview", "gpus", "metrics"):
        await answer_request(getattr(datasette, _SITE), name, {}, "", None)


@hookimpl  # type: ignore[untyped-decorator]  # of a package that is optional
def register_routes(datasette: Any) -> list[tuple[str, Callable[..., Any]]]:
    """Return the addresses of our pages, each with what answers it."""

    def view_of(name: str) -> Callable[..., Any]:
        async def view(request: Any) -> Any:
            body = await request.post_body() if request.method == "POST" else None
            answer = await answer_request(
                getattr(datasette, _SITE), name, request.url_vars, request.query_string, body
            )
            return _response(answer)

        return view

    return [(pattern, view_of(name)) for name, pattern in ROUTES.items()]


@hookimpl  # type: ignore[untyped-decorator]  # likewise
def menu_links() -> list[dict[str, str]]:
    """Return the link to our pages in the menu of Datasette's own."""
    return [{"href": HOME, "label": "clusterplan"}]


@hookimpl  # type: ignore[untyped-decorator]  # likewise
def handle_exception(request: Any, exception: Exception) -> Any:
    """Answer what Datasette could not: a line, where it would print all variables of the program on stderr."""
    status = getattr(exception, "status", HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.error("%s: %s: %s", request.path, type(exception).__name__, exception)
    words = getattr(exception, "message", None) or str(exception) or HTTPStatus(status).phrase
    return _response(error_answer(status, words, as_json=request.path.endswith(".json")))


def _response(answer: Answer) -> Any:
    return Response(
        answer.body, status=int(answer.status), headers=dict(answer.headers), content_type=answer.content_type
    )
