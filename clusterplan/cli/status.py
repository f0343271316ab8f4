"""`clusterplan status`."""

import time

import click

from ..api.runs import Run, Runs, runs
from ..errors import InputError
from ..launcher.runs.state import OPEN_STATES
from .options import clear_screen, echo_result, json_option

_WATCH_S = 3.0


@click.command()
@click.argument("run", required=False)
@click.option("-w", "--watch", is_flag=True, help="Show it again every 3 s, until all runs shown have ended.")
@json_option
def status(run: str | None, watch: bool, as_json: bool) -> None:  # noqa: FBT001
    """Show the state of runs: of RUN, or of all runs whose ids begin with RUN.

    Without RUN it shows all open runs, and the latest 50 that have ended.  It works from any folder, and days later,
    even if Slurm has forgotten the job.

        clusterplan status train-2026

    The exit code is 1 if a RUN is stalled: it trains, and no step has come for too long.
    """
    if watch and as_json:
        raise InputError("--watch prints text: leave out --json")
    shown = _show(run, as_json=as_json)
    while watch and any(status.state.state in OPEN_STATES for status in shown):
        try:
            time.sleep(_WATCH_S)
        except KeyboardInterrupt:
            return
        shown = _show(run, again=True)
    if run and any(status.progress and status.progress.stall for status in shown):
        raise click.exceptions.Exit(1)


def _show(run: str | None, *, as_json: bool = False, again: bool = False) -> Runs:
    """Print the runs, on a terminal in place of the last; return them."""
    statuses = runs(run)
    if again:
        clear_screen()
    one: Run | None = statuses[0] if run and len(statuses) == 1 else None
    echo_result(one if one and not as_json else statuses, as_json=as_json)
    return statuses
