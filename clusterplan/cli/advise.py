"""`clusterplan advise`."""

from pathlib import Path
from typing import Any

import click

from ..api.advice.advise import Advice
from ..api.advice.advise import advise as advise_training
from ..estimator.stopping.advice import State
from .completion import complete_run
from .options import echo_result, json_option
from .workload_options import WorkloadCommand, one_shape


class _Advise(WorkloadCommand):
    """Takes a workload's flags, one value of each."""

    tables = False
    common = ("job", "min_gain", "metric", "band")


@click.command(cls=_Advise)
@click.argument("source", required=False, metavar="[RUN|FILE]", shell_complete=complete_run)
@click.option("--job", type=click.Path(path_type=Path), metavar="JOB", help="The job file of the training.")
@click.option(
    "--min-gain",
    default="1%",
    show_default=True,
    metavar="SHARE",
    help="The least improvement that is worth the rest of the training.",
)
@click.option("--band", metavar="LOW,HIGH", help="The loss that is good enough, such as 1.0,1.2.")
@click.option(
    "--metric",
    metavar="NAME[:more|:less]",
    help="The validation metric that counts, and which is better. Default: the validation loss.",
)
@click.option(
    "--columns",
    metavar="QUANTITY=NAME,...",
    help="The columns of a table: step, loss, eval_loss, learning_rate. Default: by their names.",
)
@click.option(
    "--constant-lr",
    is_flag=True,
    help="The learning rate stays as it is, so that a plateau needs no decay before a stop.",
)
@json_option
@click.pass_context
def advise(
    ctx: click.Context,
    /,
    source: str | None,
    job: Path | None,
    min_gain: str,
    band: str | None,
    metric: str | None,
    columns: str | None,
    constant_lr: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **flags: Any,
) -> None:
    """Say whether a training may stop, by its losses, its learning rate and its validations.

    RUN is an id or the beginning of one; FILE is a trainer_state.json, a CSV, a log, or a folder with a
    trainer_state.json.  Default: the latest run.  It never stops anything.

        clusterplan advise out/trainer_state.json

    Exit codes: 0 for an answer, 1 if the training has diverged, 2 if the source cannot be read or told.
    """
    values = one_shape(flags)
    profile = values.pop("profile", None)
    result: Advice = advise_training(
        source,
        job=job,
        profile=profile,
        min_gain=min_gain,
        band=band,
        metric=metric,
        columns=columns,
        constant_lr=constant_lr,
        **values,
    )
    echo_result(result, as_json=as_json)
    ctx.exit(1 if result.state is State.DIVERGED else 0)
