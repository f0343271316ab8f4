"""`clusterplan report`."""

import json

import click

from ..cluster_profiles.catalog import load_profile
from ..errors import InputError
from ..estimator.footprint import footprint
from ..estimator.run_report import run_report
from ..report import run_json, run_text
from .options import echo_page, json_option
from .recorded import collected, find_run


@click.command()
@click.argument("run", required=False)
@click.option("--profile", metavar="NAME|PATH", help="The cluster whose rates tell cost and CO2.")
@json_option
def report(run: str | None, profile: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Were the GPUs used, and what is to be done about it; RUN is an id or its beginning, else the latest."""
    rates = load_profile(profile).rates if profile else None
    if profile and rates is None:
        raise InputError(f"--profile: {profile} has no [rates], so no cost and no CO2 can be told")
    with collected() as db:
        found = run_report(db, find_run(db.runs(), run)["run"])
    cost = footprint(found.energy_kwh, found.gpu_hours, rates) if rates else None
    if as_json:
        click.echo(json.dumps(run_json.one(found, cost), indent=2))
    else:
        echo_page(lambda page: run_text.one(page, found, cost))
