"""`clusterplan status`."""

import json
import os

import click

from ..launcher.registered import find_folder, folders
from ..launcher.run_folder import history_path
from ..launcher.status import statuses
from ..report import status_text
from .options import echo_page, json_option


@click.command()
@click.argument("run", required=False)
@json_option
def status(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """How runs are going; RUN is an id or its beginning, else all of them.

    It works from any folder and days later, whether Slurm remembers the job or not.
    """
    known = folders(history_path(os.environ), kind="submit")
    found = statuses([find_folder(known, run)] if run else known)
    if as_json:
        click.echo(json.dumps({"runs": [status_text.as_json(s) for s in found]}, indent=2))
    elif run:
        echo_page(lambda page: status_text.one(page, found[0]))
    else:
        echo_page(lambda page: status_text.listing(page, found))
