"""The server: a port of this machine, the application behind it, and the links that open it."""

import asyncio
import ipaddress
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path

from ..api.history.history import History
from ..errors import HistoryError, InputError
from .access.gate import ENTRY, App, Gate
from .access.keys import Keys
from .application import check_datasette, open_datasette
from .collector import collecting

ShowLink = Callable[[str], None]


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(history: Path, host: str, port: int, program_token: str | None, show_link: ShowLink) -> None:
    """Serve a history file until the process is stopped; `show_link` is called with each link that works once.

    SIGUSR1 makes another link.  Raises InputError for an address that cannot be had, HistoryError, and PackageMissing.
    """
    check_datasette()
    from .plugin import answer_ahead  # noqa: PLC0415  an optional extra

    is_kept_fresh = prepare_history(history)
    keys = Keys(program_token)
    with listen(host, port) as listener:
        actual = listener.getsockname()[1]
        datasette = open_datasette(history)
        application = Gate(datasette.app(), keys, actual)
        name = f"[{host}]" if ":" in host else host

        def show() -> None:
            show_link(f"http://{name}:{actual}{ENTRY}?token={keys.make_link_token()}")

        with collecting() if is_kept_fresh else nullcontext():
            asyncio.run(_run(application, listener, show, answer_ahead(datasette)))


def prepare_history(history: Path) -> bool:
    """Make the file or bring it up to date, and return whether it may be written.  Raises HistoryError if it cannot be read."""
    try:
        History(history).close()
    except HistoryError:
        if _may_write(history) or not os.access(history, os.R_OK):
            raise
    return _may_write(history)


def _may_write(history: Path) -> bool:
    """Return whether SQLite can write a file: it makes a journal beside it."""
    return all(os.access(place, os.W_OK) for place in (history, history.parent))


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address; port 0 is any that is free.  Raises InputError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # who follows the link at once waits and is not refused
    except OSError as error:
        raise InputError(
            f"--host {host} --port {port}: {error.strerror or error}; --port 0 takes any port that is free"
        ) from None
    return listener


async def _run(
    application: App, listener: socket.socket, show: Callable[[], None], ahead: Awaitable[None]
) -> None:
    import uvicorn  # noqa: PLC0415  an optional extra

    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,  # a log of links would be a log of tokens
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, show)
    show()
    working = asyncio.ensure_future(ahead)
    await server.serve(sockets=[listener])
    working.cancel()


def read_program_token(file: Path) -> str:
    """Return the token in a file that only its owner reads.  Raises InputError."""
    least = 20
    try:
        mode = file.stat().st_mode
        token = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise InputError(
            f"--token-file {file}: {getattr(error, 'strerror', None) or 'is no text of ASCII'}"
        ) from None
    if mode & 0o077:
        raise InputError(f"--token-file {file}: others may read it: chmod 600 {file}")
    if len(token) < least:
        raise InputError(
            f"--token-file {file}: a token has {least} characters or more: "
            "python3 -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    return token
