"""`clusterplan status`."""

import click

from ..api.runs import runs
from .options import echo_result, json_option


@click.command()
@click.argument("run", required=False)
@json_option
def status(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show how runs are going: RUN by its id, or those whose ids begin so.

    Without RUN it shows all runs that go on, and the latest 50 that have ended.  It works from any folder and days
    later, whether Slurm remembers the job or not.
    """
    statuses = runs(run)
    is_one = bool(run) and len(statuses) == 1
    echo_result(statuses[0] if is_one and not as_json else statuses, as_json=as_json)
