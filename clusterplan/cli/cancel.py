"""`clusterplan cancel`."""

import os

import click

from ..launcher.registered import find_folder
from ..launcher.run_folder import history_path
from ..launcher.run_state import OPEN
from ..launcher.status import cancel as cancel_run


@click.command()
@click.argument("run")
def cancel(run: str) -> None:
    """Stop a run for good; it gets its stop signal, and the time to save that Slurm leaves it."""
    folder = find_folder(history_path(os.environ), "submit", run)
    before = cancel_run(folder)
    if before.state in OPEN:
        click.echo(f"{folder.name}: asked to stop; it was {before.state}")
    else:
        click.echo(f"{folder.name}: had ended before ({before.state})")
