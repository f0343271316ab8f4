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
from .open_history import find_run, open_history
from .options import echo_page, json_option


@click.command()
@click.argument("run", required=False)
@click.option("--profile", metavar="NAME|PATH", help="Take the rates of this cluster for cost and CO2.")
@json_option
def report(run: str | None, profile: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show how a run used its GPUs, and what to do about it.

    RUN is an id or the beginning of one.  Default: the latest run.
    """
    cluster = load_profile(profile) if profile else None
    rates = cluster.rates if cluster else None
    if profile and rates is None:
        raise InputError(f"--profile: {profile} has no [rates], which give the cost and the CO2")
    partition = None
    with open_history() as db:
        run_report = build_report(db.record(find_run(db.runs(), run)["run"]))
        if cluster:
            name = read_partition(links_folder(db.path) / run_report.run)
            partition = next((p for p in cluster.partitions if p.name == name), None)
    cost = run_cost(run_report.energy_kwh, run_report.gpu_hours, rates, partition) if rates else None
    if as_json:
        click.echo(json.dumps(run_json.report_as_json(run_report, cost), indent=2))
    else:
        echo_page(lambda page: run_text.render_report(page, run_report, cost))
