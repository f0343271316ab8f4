"""`clusterplan report`."""

from pathlib import Path

import click

from ..api.report import Report
from ..api.report import report as report_run
from ..api.reports.sweep import SweepReport, find_sweep, report_sweep
from ..errors import InputError
from .completion import complete_run
from .options import echo_result, echo_text, json_option, say, show_collecting


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
@click.option(
    "--html",
    metavar="FILE",
    help="Also write the report with its charts as one HTML file, to be opened or mailed without a network; "
    "- prints it alone.",
)
@click.option(
    "--profile",
    metavar="NAME|PATH",
    help="Take the rates of this cluster for cost and CO2. Default: the run's cluster, or the settings.",
)
@json_option
def report(run: str | None, html: str | None, profile: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show how a run used its GPUs, and what to do about it; of a sweep, compare its runs.

    RUN is an id or the beginning of one, or what the ids of a sweep's runs
    begin with.  Default: the latest run.

        clusterplan report --html run.html
    """
    if html == "-" and as_json:
        raise InputError("--html -: stdout has the JSON; leave out --json, or give a file")
    result: Report | SweepReport
    if run and find_sweep(run):
        result = report_sweep(run)
    else:
        with show_collecting() as progress:
            result = report_run(run, profile or None, progress=progress)
    if html == "-":
        echo_text(result.html())
        return
    if html is not None:
        from ..api.reports.page import write_page  # noqa: PLC0415  the charts, for a terminal

        kilobytes = write_page(Path(html), result.html()) / 1000
    echo_result(result, as_json=as_json)
    if html is not None:
        say(f"{html}: written, {kilobytes:,.0f} kB")
