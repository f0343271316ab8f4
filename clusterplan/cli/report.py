"""`clusterplan report`."""

import json

import click

from ..cluster_profiles.catalog import load_profile
from ..errors import InputError
from ..estimator.gpu_use.cost import run_cost
from ..estimator.gpu_use.report import build_report
from ..launcher.run_folder.folder import links_folder
from ..launcher.run_folder.registry import read_partition
from ..render import run_json, run_text
from .options import echo_page, json_option
from .recorded import collected, find_run


@click.command()
@click.argument("run", required=False)
@click.option("--profile", metavar="NAME|PATH", help="The cluster whose rates tell cost and CO2.")
@json_option
def report(run: str | None, profile: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Were the GPUs used, and what is to be done about it; RUN is an id or its beginning, else the latest."""
    cluster = load_profile(profile) if profile else None
    rates = cluster.rates if cluster else None
    if profile and rates is None:
        raise InputError(f"--profile: {profile} has no [rates], so no cost and no CO2 can be told")
    partition = None
    with collected() as db:
        found = build_report(db.record(find_run(db.runs(), run)["run"]))
        if cluster:
            asked = read_partition(links_folder(db.path) / found.run)
            partition = next((p for p in cluster.partitions if p.name == asked), None)
    cost = run_cost(found.energy_kwh, found.gpu_hours, rates, partition) if rates else None
    if as_json:
        click.echo(json.dumps(run_json.one(found, cost), indent=2))
    else:
        echo_page(lambda page: run_text.one(page, found, cost))
