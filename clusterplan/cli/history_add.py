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
from ..estimator.measurements.entered import (
    EnteredRun,
    find_doubtful,
    parse_entered,
    read_csv,
    select_new,
)
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
from .options import say
from .recorded import collected

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
    help="Many at once: a line each, below the names of the columns.",
)
def add(path: Path | None, **flagged: str | None) -> None:
    """Enter throughputs measured elsewhere.  Estimates start warm then.

    They go into a run folder, and from there into the history; what is there already is not entered twice.
    `history show` has them, and `history remove` takes them back.

    \b
        clusterplan history add --model phi2 --gpu h100-sxm --gpus 8 \\
            --batch-size 32 --samples-per-s 44.3
        clusterplan history add --csv measured.csv --source "team wiki"
    """
    given: dict[str, Any] = {name: value for name, value in flagged.items() if value is not None}
    now = datetime.now(UTC)
    if path is None:
        if not given:
            raise InputError(
                "nothing to enter: give --model, --gpus, --batch-size and a throughput, or --csv FILE"
            )
        row = parse_entered(given, _FLAGS)
        rows = [(row, row.measurement(now, "entered by hand"))]
        name = row.model
    else:
        if extra := [_FLAGS[key] for key in given if key != "source"]:
            raise InputError(f"{extra[0]}: the file has a column for that; only --source goes with --csv")
        source = given.get("source", path.name)
        rows = [(row, row.measurement(now, source)) for _, row in read_csv(path)]
        name = path.stem
    for row, one in rows:
        if one.when and one.when > now + timedelta(days=1):
            raise InputError(
                f"the date {row.when:%Y-%m-%d} of {one.model} is yet to come; today is {now:%Y-%m-%d}"
            )
    with collected(settle=False) as db:
        there = db.measurements()
    found = select_new(rows, there)
    for doubt in (*_unknown_gpus(found), *find_doubtful(found, there)):
        say(doubt)
    if known := len(rows) - len(found):
        say(f"{plural(known, 'measurement')} there already, and not entered again")
    if found:
        facts = {"kind": ADDED, "measurements": [as_json(one) for one in found]}
        folder = create_run_folder(name, runs_root(os.environ), now, facts)
        write_json(folder / STATUS_FILE, {"state": "entered", "exit_code": None, "ended_s": now.timestamp()})
        register_run(folder, history_path(os.environ))
        with collected(settle=False):
            pass
    models = join_names(dict.fromkeys(one.model for one in found))
    click.echo(f"{plural(len(found), 'measurement')} entered{f' of {models}' if found else ''}")


@click.command()
@click.argument("run")
def remove(run: str) -> None:
    """Take back what `history add` entered.  RUN is its whole id, as `history list` has it."""
    where = history_path(os.environ)
    folder = next((folder for folder in registered_folders(where) if folder.name == run), None)
    if folder is None or read_run_facts(folder).get("kind") != ADDED:
        raise InputError(
            f"{run!r} is not the whole id of what `history add` entered: see `clusterplan history list`"
        )
    with collected(settle=False) as db:
        gone = db.measurements(run=run)
        with db.writing():
            db.remove_entered(run)
    discard_run(folder, where)
    click.echo(f"{plural(len(gone), 'measurement')} taken back")


def _unknown_gpus(found: list[Measurement]) -> Iterator[str]:
    for name in dict.fromkeys(one.gpu for one in found):
        if name and name not in read_gpus():
            yield f"GPU {name!r} is not in the catalogue: it informs jobs that name no GPU only"
