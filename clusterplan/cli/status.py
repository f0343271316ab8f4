"""`clusterplan status`."""

import click

from ..api.runs import runs
from .options import echo_result, json_option


@click.command()
@click.argument("run", required=False)
@json_option
def status(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show how runs are going: the run RUN, or all runs whose ids begin with RUN.

    Without RUN it shows all open runs, and the latest 50 that have ended.  It works from any folder, and days later,
    even if Slurm has forgotten the job.
    """
    statuses = runs(run)
    is_one = bool(run) and len(statuses) == 1
    echo_result(statuses[0] if is_one and not as_json else statuses, as_json=as_json)
