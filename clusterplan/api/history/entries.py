"""Measurements from elsewhere: enter them into the history, and remove them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ...cluster_profiles.configuration import find_group
from ...cluster_profiles.gpu import read_gpus
from ...cluster_profiles.units import plural
from ...errors import InputError
from ...estimator.measurements.entered import EnteredRun, parse_entered
from ...estimator.measurements.entered_csv import read_csv
from ...estimator.measurements.measurement import Measurement
from ...estimator.measurements.new_entries import find_doubtful, select_new
from ...launcher.run_folder.folder import (
    STATUS_FILE,
    create_run_folder,
    discard_run,
    history_path,
    register_run,
    runs_root,
    write_json,
)
from ...launcher.run_folder.registry import read_run_facts, registered_folders
from ...launcher.runs.measurement import ADDED, as_json
from ..measurements import ProgressCallback
from .history import as_notes, collected_history

# The flags are those of a workload where it has them.
FLAGS = {
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
            "tensor_parallel",
            "pipeline_parallel",
            "zero_stage",
            "precision",
            "seq_len",
            "parameters",
            "cluster",
        ),
        *(
            "step_time_s",
            "samples_per_s",
            "samples_per_s_per_gpu",
            "tokens_per_s",
            "tokens_per_s_per_gpu",
            "spread",
            "source",
            "when",
        ),
    )
}

_Entry = tuple[EnteredRun, Measurement]


@dataclass(frozen=True)
class Entries:
    """Measurements that were entered or removed, and remarks on doubtful ones and on those that were not entered."""

    measurements: Sequence[Measurement]
    remarks: tuple[str, ...] = ()


def enter_measurements(
    csv: Path | None = None,
    values: Mapping[str, Any] | None = None,
    *,
    progress: ProgressCallback | None = None,
) -> Entries:
    """Enter throughputs measured elsewhere: the `values` of one by their names in `FLAGS`, or a CSV file.

    They go into a run folder, and from there into the history; one that the history has is not entered again.  With a
    file the only value is `source`.  Raises InputError, RunFolderError and HistoryError; an error carries the remarks
    as its notes.
    """
    now = datetime.now(UTC)
    name, entries = _read_entries(csv, values or {}, now)
    _check_dates(entries, now)
    with collected_history(settle=False, progress=progress) as history:
        recorded, remarks = history.measurements(), list(history.remarks)
    new = select_new(entries, recorded)
    remarks += [*_unknown_gpus(new), *find_doubtful(new, recorded)]
    if repeats := len(entries) - len(new):
        them = "it" if repeats == 1 else "them"
        remarks.append(f"{plural(repeats, 'measurement')} not entered: the history has {them}")
    if new:
        with as_notes(remarks):
            _write_run(name, new, now)
            with collected_history(settle=False, progress=progress) as history:
                remarks += history.remarks
    return Entries(new, tuple(remarks))


def remove_measurements(run: str, *, progress: ProgressCallback | None = None) -> Entries:
    """Remove the measurements that were entered as `run`, its whole id.  Raises InputError and HistoryError."""
    path = history_path(os.environ)
    folder = next((folder for folder in registered_folders(path) if folder.name == run), None)
    if folder is None or read_run_facts(folder).get("kind") != ADDED:
        raise InputError(
            f"{run!r} is not the whole id of an entry by `history add`: see `clusterplan history list`"
        )
    with collected_history(settle=False, progress=progress) as history:
        removed = history.measurements(run=run)
        with history.writing():
            history.remove_entered(run)
    discard_run(folder, path)
    return Entries(removed, tuple(history.remarks))


def _read_entries(csv: Path | None, values: Mapping[str, Any], now: datetime) -> tuple[str, Sequence[_Entry]]:
    """Return the name of the run that holds them, and the measurements."""
    if csv is None:
        if not values:
            raise InputError(
                "nothing to enter: give --model, --gpus, --batch-size and a throughput, or --csv FILE"
            )
        entry = parse_entered(values, FLAGS)
        return entry.model, [(entry, entry.measurement(now, "entered by hand"))]
    if extra := [FLAGS[key] for key in values if key != "source"]:
        raise InputError(f"{extra[0]}: does not go with --csv: the file has a column for it")
    source = values.get("source", csv.name)
    return csv.stem, [(entry, entry.measurement(now, source)) for _, entry in read_csv(csv)]


def _check_dates(entries: Sequence[_Entry], now: datetime) -> None:
    for entry, measurement in entries:
        if measurement.when and measurement.when > now + timedelta(days=1):
            raise InputError(
                f"the date {entry.when:%Y-%m-%d} of {measurement.model} is in the future: today is {now:%Y-%m-%d}"
            )


def _write_run(name: str, measurements: Sequence[Measurement], now: datetime) -> None:
    facts = {"kind": ADDED, "measurements": [as_json(measurement) for measurement in measurements]}
    history = history_path(os.environ)
    folder = create_run_folder(name, runs_root(os.environ), now, facts, find_group(history))
    write_json(folder / STATUS_FILE, {"state": "entered", "exit_code": None, "ended_s": now.timestamp()})
    register_run(folder, history)


def _unknown_gpus(measurements: Sequence[Measurement]) -> Iterator[str]:
    for name in dict.fromkeys(measurement.gpu for measurement in measurements):
        if name and name not in read_gpus():
            yield f"GPU {name!r} is not in the catalogue: it informs jobs on --gpu {name!r}, and jobs that name no GPU"
