"""`clusterplan history add` and `remove`."""

from pathlib import Path

import click

from ..api.history.entries import FLAGS, enter_measurements, remove_measurements
from ..cluster_profiles.units import join_names, plural
from ..estimator.measurements.entered import EnteredRun
from .options import say, show_collecting


def _options(command: click.Command) -> click.Command:
    for name, flag in FLAGS.items():
        description = EnteredRun.model_fields[name].description
        command.params.append(click.Option([flag, name], metavar="VALUE", help=description))
    return command


@_options
@click.command()
@click.option(
    "--csv",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Enter many at once: a CSV file with the names of the columns in its first line.",
)
def add(path: Path | None, **flagged: str | None) -> None:
    """Enter throughputs measured elsewhere.

    Estimates use them as they use runs.  They go into a run folder, and from there into the history.  A measurement that the history has is not entered again.
    `history show` lists them, and `history remove` removes them.

    \b
        clusterplan history add --model phi2 --gpu h100-sxm --gpus 8 \\
            --batch-size 32 --samples-per-s 44.3
        clusterplan history add --csv measured.csv --source "team wiki"
    """
    values = {name: value for name, value in flagged.items() if value is not None}
    with show_collecting() as progress:
        entered = enter_measurements(path, values, progress=progress)
    for remark in entered.remarks:
        say(remark)
    models = join_names(dict.fromkeys(measurement.model for measurement in entered.measurements))
    click.echo(
        f"{plural(len(entered.measurements), 'measurement')} {f'of {models} ' if models else ''}entered"
    )


@click.command()
@click.argument("run")
def remove(run: str) -> None:
    """Remove measurements that `history add` entered.  RUN is the whole id in `history list`."""
    with show_collecting() as progress:
        removed = remove_measurements(run, progress=progress)
    for remark in removed.remarks:
        say(remark)
    click.echo(f"{plural(len(removed.measurements), 'measurement')} removed")
