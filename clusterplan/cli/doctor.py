"""`clusterplan doctor`."""

import click

from ..api.doctor import check_installation
from .options import echo_result, json_option


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """Check whether clusterplan is fit to run here, and say what to do.

    Python, torch of the `python` on PATH, Slurm, the folder of the runs, clocks, GPUs, the history and the default
    profile are checked.  Exit code 1 if there is a fault.

        clusterplan doctor
    """
    checkup = check_installation()
    echo_result(checkup, as_json=as_json)
    ctx.exit(0 if checkup.is_fit else 1)
