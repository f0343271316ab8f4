"""`clusterplan status`."""

import click

from ..api.runs import Run, runs
from .completion import complete_run
from .options import echo_result, json_option


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
@json_option
def status(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show the state of runs: of RUN, or of all runs whose ids begin with RUN.

    Without RUN it shows all open runs, and the latest 50 that have ended.  It works from any folder, and days later,
    even if Slurm has forgotten the job.  `clusterplan watch` shows open runs live.

        clusterplan status train-2026

    The exit code is 1 if a RUN is stalled: it trains, and no step has come for too long.
    """
    statuses = runs(run)
    one: Run | None = statuses[0] if run and len(statuses) == 1 else None
    echo_result(one if one and not as_json else statuses, as_json=as_json)
    if run and any(status.progress and status.progress.stall for status in statuses):
        raise click.exceptions.Exit(1)
