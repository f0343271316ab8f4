"""`clusterplan report`."""

import click

from ..api.report import report as report_run
from .options import echo_result, json_option, show_collecting


@click.command()
@click.argument("run", required=False)
@click.option(
    "--profile",
    metavar="NAME|PATH",
    help="Take the rates of this cluster for cost and CO2. Default: the run's cluster, or the settings.",
)
@json_option
def report(run: str | None, profile: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show how a run used its GPUs, and what to do about it.

    RUN is an id or the beginning of one.  Default: the latest run.

        clusterplan report train-2026
    """
    with show_collecting() as progress:
        result = report_run(run, profile or None, progress=progress)
    echo_result(result, as_json=as_json)
