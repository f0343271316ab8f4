"""`clusterplan history add` and `remove`."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ..cluster_profiles.gpu import read_gpus
from ..cluster_profiles.units import join_names, plural
from ..errors import InputError
from ..estimator.measurements.entered import EnteredRun, find_doubtful, parse_entered, select_new
from ..estimator.measurements.entered_csv import read_csv
from ..estimator.measurements.measurement import Measurement
from ..launcher.run_folder.folder import (
    STATUS_FILE,
    create_run_folder,
    discard_run,
    history_path,
    register_run,
    runs_root,
    write_json,
)
from ..launcher.run_folder.registry import read_run_facts, registered_folders
from ..launcher.runs.measurement import ADDED, as_json
from .open_history import open_history
from .options import say

# The flags are those of a workload where it has them.
_FLAGS = {
    name: {"step_time_s": "--step-time", "when": "--date"}.get(name, "--" + name.replace("_", "-"))
    for name in (
        *(
            "model",
            "gpu",
            "gpus",
            "nodes",
            "batch_size",
            "accumulation",
            "model_parallel",
            "precision",
            "seq_len",
        ),
        *(
            "step_time_s",
            "samples_per_s",
            "samples_per_s_per_gpu",
            "tokens_per_s",
            "spread",
            "source",
            "when",
        ),
    )
}


def _options(command: click.Command) -> click.Command:
    for name, flag in _FLAGS.items():
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
    values: dict[str, Any] = {name: value for name, value in flagged.items() if value is not None}
    now = datetime.now(UTC)
    if path is None:
        if not values:
            raise InputError(
                "nothing to enter: give --model, --gpus, --batch-size and a throughput, or --csv FILE"
            )
        entry = parse_entered(values, _FLAGS)
        entries = [(entry, entry.measurement(now, "entered by hand"))]
        name = entry.model
    else:
        if extra := [_FLAGS[key] for key in values if key != "source"]:
            raise InputError(f"{extra[0]}: does not go with --csv: the file has a column for it")
        source = values.get("source", path.name)
        entries = [(entry, entry.measurement(now, source)) for _, entry in read_csv(path)]
        name = path.stem
    for entry, measurement in entries:
        if measurement.when and measurement.when > now + timedelta(days=1):
            raise InputError(
                f"the date {entry.when:%Y-%m-%d} of {measurement.model} is in the future: today is {now:%Y-%m-%d}"
            )
    with open_history(settle=False) as db:
        recorded = db.measurements()
    new = select_new(entries, recorded)
    for remark in (*_unknown_gpus(new), *find_doubtful(new, recorded)):
        say(remark)
    if repeats := len(entries) - len(new):
        say(
            f"{plural(repeats, 'measurement')} not entered: the history has {'it' if repeats == 1 else 'them'}"
        )
    if new:
        facts = {"kind": ADDED, "measurements": [as_json(measurement) for measurement in new]}
        folder = create_run_folder(name, runs_root(os.environ), now, facts)
        write_json(folder / STATUS_FILE, {"state": "entered", "exit_code": None, "ended_s": now.timestamp()})
        register_run(folder, history_path(os.environ))
        with open_history(settle=False):
            pass
    models = join_names(dict.fromkeys(measurement.model for measurement in new))
    click.echo(f"{plural(len(new), 'measurement')} entered{f' of {models}' if new else ''}")


@click.command()
@click.argument("run")
def remove(run: str) -> None:
    """Remove measurements that `history add` entered.  RUN is the whole id in `history list`."""
    where = history_path(os.environ)
    folder = next((folder for folder in registered_folders(where) if folder.name == run), None)
    if folder is None or read_run_facts(folder).get("kind") != ADDED:
        raise InputError(
            f"{run!r} is not the whole id of an entry by `history add`: see `clusterplan history list`"
        )
    with open_history(settle=False) as db:
        removed = db.measurements(run=run)
        with db.writing():
            db.remove_entered(run)
    discard_run(folder, where)
    click.echo(f"{plural(len(removed), 'measurement')} removed")


def _unknown_gpus(new: list[Measurement]) -> Iterator[str]:
    for name in dict.fromkeys(one.gpu for one in new):
        if name and name not in read_gpus():
            yield f"GPU {name!r} is not in the catalogue: it informs only jobs that name no GPU"
