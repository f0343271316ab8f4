"""`clusterplan cancel`."""

import click

from ..api.runs import cancel as cancel_runs
from ..launcher.runs.state import OPEN_STATES
from .completion import complete_run
from .options import echo


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_run)
@click.option("--all", "every", is_flag=True, help="Stop every open run whose id begins with RUN.")
def cancel(runs: tuple[str, ...], every: bool) -> None:  # noqa: FBT001
    """Stop runs for good.  Each gets its stop signal, and as much time to save as Slurm gives it.

    RUN is an id, or the beginning of an id that only one open run has.

        clusterplan cancel train-2026
    """
    for before in cancel_runs(*runs, every=every):
        if before.state.state in OPEN_STATES:
            echo(f"{before.run}: asked to stop; it was {before.state.state}")
        else:
            echo(f"{before.run}: had ended before ({before.state.state})")
