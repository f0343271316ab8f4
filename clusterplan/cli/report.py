"""`clusterplan report`."""

from pathlib import Path

import click

from ..api.report import Report
from ..api.report import report as report_run
from ..api.reports.sweep import SweepReport, find_sweep, report_sweep
from .completion import complete_run
from .options import echo_result, json_option, say, show_collecting


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the report with its charts as one HTML file, to be opened or mailed without a network.",
)
@click.option(
    "--profile",
    metavar="NAME|PATH",
    help="Take the rates of this cluster for cost and CO2. Default: the run's cluster, or the settings.",
)
@json_option
def report(run: str | None, html: Path | None, profile: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show how a run used its GPUs, and what to do about it; of a sweep, compare its runs.

    RUN is an id or the beginning of one, or what the ids of a sweep's runs
    begin with.  Default: the latest run.

        clusterplan report --html run.html
    """
    result: Report | SweepReport
    if run and find_sweep(run):
        result = report_sweep(run)
    else:
        with show_collecting() as progress:
            result = report_run(run, profile or None, progress=progress)
    if html:
        from ..api.reports.page import write_page  # noqa: PLC0415  the charts, for a terminal

        write_page(html, result.html())
    echo_result(result, as_json=as_json)
    if html:
        say(f"{html}: written, {html.stat().st_size / 1000:,.0f} kB")
