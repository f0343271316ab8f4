"""`clusterplan sample`."""

import click

from ..api.sampling import prepare_sample, run_sample
from .options import duration_s, say, utf8_text
from .passthrough import WithCommand
from .working import leave_terminal


@click.command(cls=WithCommand)
@click.option(
    "--for",
    "for_",
    metavar="TIME",
    callback=duration_s,
    help="Stop sampling after TIME.  Default: when the command ends.",
)
@click.option(
    "--period",
    metavar="TIME",
    default="1s",
    show_default=True,
    callback=duration_s,
    help="Time between two readings of a GPU.",
)
@click.option(
    "--name", metavar="TEXT", callback=utf8_text, help="Name of the run.  Default: the command's name."
)
@click.option(
    "--model",
    metavar="TEXT",
    callback=utf8_text,
    help="Name of the model that the command trains: runs of one model inform each other.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def sample(
    for_: float | None, period: float, name: str | None, model: str | None, command: tuple[str, ...]
) -> None:
    """Record the use of this machine's GPUs while a command runs.

    The readings go into a run folder under runs/.  A problem with sampling never disturbs the command.
    The exit code is that of the command, as with `time` and `srun`: 128 + n if signal n ended it, 127 if it cannot be
    started.

        clusterplan sample -- python train.py

        clusterplan sample --for 60s
    """
    prepared = prepare_sample(command, for_, period, name=name, model=model)
    for warning in prepared.warnings:
        say(warning)
    leave_terminal()
    run = run_sample(prepared)
    for remark in run.remarks:
        say(remark)
    if run.failure:
        say(run.failure, label="Error:")
    raise click.exceptions.Exit(run.exit_code)
