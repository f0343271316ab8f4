"""`clusterplan report`."""

import json

import click

from ..estimator.run_report import run_report
from ..report import run_json, run_text
from .options import echo_page, json_option
from .recorded import collected, find_run


@click.command()
@click.argument("run", required=False)
@json_option
def report(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Were the GPUs used, and what is to be done about it; RUN is an id or its beginning, else the latest."""
    with collected() as db:
        found = run_report(db, find_run(db.runs(), run)["run"])
    if as_json:
        click.echo(json.dumps(run_json.one(found), indent=2))
    else:
        echo_page(lambda page: run_text.one(page, found))
