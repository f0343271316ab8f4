"""`clusterplan serve`."""

import os
from pathlib import Path

import click

from ..launcher.run_folder.folder import history_path
from ..web.server import is_loopback, read_program_token
from ..web.server import serve as serve_history
from .options import echo, say
from .working import leave_terminal


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8001,
    show_default=True,
    help="Port; 0 is any that is free.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address of this machine.  By default only this machine reaches the pages.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with a token for programs, which send it as `Authorization: Bearer TOKEN`.",
)
@click.option("--print-url", is_flag=True, help="Print the link alone.")
def serve(port: int, host: str, token_file: Path | None, print_url: bool) -> None:  # noqa: FBT001
    """Show the history in a browser, and answer programs.

    The link that it prints works once, in one browser.  Nothing that a browser sends is written; what runs measure is
    collected beside it.

        clusterplan serve

        ssh -N -L 8001:127.0.0.1:8001 LOGIN_NODE
    """
    token = read_program_token(token_file) if token_file else None
    if not is_loopback(host):
        say(f"--host {host}: every machine that reaches this address may try; what is sent is not encrypted")

    def show_link(link: str) -> None:
        leave_terminal()
        echo(link)
        if not print_url:
            say(f"The link works once.  Another one: kill -USR1 {os.getpid()}   Stop: Ctrl-C")

    try:
        serve_history(history_path(os.environ), host, port, token, show_link)
    except KeyboardInterrupt:
        return
