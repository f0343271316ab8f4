"""`clusterplan history add` and `remove`."""

from pathlib import Path

import click

from ..api.history.entries import FLAGS, enter_measurements, remove_measurements
from ..api.history.logs import LogOptions
from ..cluster_profiles.units import join_names, plural
from ..estimator.measurements.entered import EnteredRun
from .options import echo, say, show_collecting, utf8_text


def _options(command: click.Command) -> click.Command:
    for name, flag in FLAGS.items():
        description = EnteredRun.model_fields[name].description
        command.params.append(click.Option([flag, name], metavar="VALUE", help=description))
    return command


@_options
@click.command()
@click.argument("logs", nargs=-1, metavar="[LOG]...", type=click.Path(path_type=Path))
@click.option(
    "--framework",
    metavar="NAME",
    callback=utf8_text,
    help="Framework that wrote the logs; one of another is refused. Default: whichever is recognized.",
)
@click.option(
    "--log-pattern",
    metavar="REGEX",
    callback=utf8_text,
    help="Lines of a script of one's own, as `run.log_pattern` of the job file.",
)
@click.option(
    "--csv",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Enter many at once: a CSV file with the names of the columns in its first line.",
)
def add(
    logs: tuple[Path, ...],
    path: Path | None,
    framework: str | None,
    log_pattern: str | None,
    **flagged: str | None,
) -> None:
    """Enter throughputs measured elsewhere.

    They come from flags, from a CSV file, or from the logs of runs.

    A LOG is what a run printed, TensorBoard's events, or another file or folder of docs/reference/log-formats.md.
    The flags say the shape in which it ran.

    Estimates use them as they use runs.  They go into a run folder, and from there into the history.  A measurement
    that the history has is not entered again.  `history show` lists them, and `history remove` removes them.

    \b
        clusterplan history add --model phi2 --gpu h100-sxm --gpus 8 \\
            --batch-size 32 --samples-per-s 44.3
        clusterplan history add --csv measured.csv --source "team wiki"
        clusterplan history add slurm-4711.out --model phi2 --gpu h100-sxm \\
            --gpus 8 --batch-size 32
    """
    values = {name: value for name, value in flagged.items() if value is not None}
    with show_collecting() as progress:
        options = LogOptions(framework, log_pattern)
        entered = enter_measurements(path, values, logs=logs, log_options=options, progress=progress)
    for remark in entered.remarks:
        say(remark)
    models = join_names(dict.fromkeys(measurement.model for measurement in entered.measurements))
    echo(f"{plural(len(entered.measurements), 'measurement')} {f'of {models} ' if models else ''}entered")


@click.command()
@click.argument("run")
def remove(run: str) -> None:
    """Remove measurements that `history add` entered.

    RUN is the whole id in `history list`.

        clusterplan history remove entered-20261128T101500-0a1b
    """
    with show_collecting() as progress:
        removed = remove_measurements(run, progress=progress)
    for remark in removed.remarks:
        say(remark)
    echo(f"{plural(len(removed.measurements), 'measurement')} removed")
