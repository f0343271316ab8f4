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
from ...launcher.run_folder.records.run_facts import read_run_facts
from ...launcher.run_folder.registry import registered_folders
from ...launcher.runs.measurement import ADDED, as_json
from ..measurements import ProgressCallback
from .history import as_notes, collected_history
from .logs import LogOptions, read_entry

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


def history_add(
    *logs: str | os.PathLike[str],
    csv: str | os.PathLike[str] | None = None,
    framework: str | None = None,
    log_pattern: str | None = None,
    progress: ProgressCallback | None = None,
    **values: Any,
) -> Entries:
    """Enter what runs made elsewhere measured, as `clusterplan history add` does, and return what was entered.

    Each log is of one run: what it printed, TensorBoard's events, or another of the known formats.  `values` are the
    flags of the command by their names: the shape of the runs, and a throughput where there is no log.  A log of
    another `framework` is refused; `log_pattern` is an expression for lines of one's own.  Raises InputError,
    RunFolderError and HistoryError.
    """
    if unknown := [name for name in values if name not in FLAGS and name not in EnteredRun.model_fields]:
        raise TypeError(f"{unknown[0]!r} is not a value of a measurement: they are {', '.join(FLAGS)}")
    return enter_measurements(
        None if csv is None else Path(csv),
        {name: value for name, value in values.items() if value is not None},
        logs=[Path(log) for log in logs],
        log_options=LogOptions(framework, log_pattern),
        progress=progress,
    )


def enter_measurements(
    csv: Path | None = None,
    values: Mapping[str, Any] | None = None,
    *,
    logs: Sequence[Path] = (),
    log_options: LogOptions | None = None,
    progress: ProgressCallback | None = None,
) -> Entries:
    """Enter throughputs measured elsewhere: the `values` of one by their names in `FLAGS`, a CSV file, or logs.

    They go into a run folder, and from there into the history; one that the history has is not entered again.  With a
    file the only value is `source`; with logs, each of one run, the values are the shape of all of them.  Raises
    InputError, RunFolderError and HistoryError; an error carries the remarks as its notes.
    """
    now = datetime.now(UTC)
    name, entries, taken = _read_entries(csv, values or {}, now, logs, log_options or LogOptions())
    _check_dates(entries, now)
    with collected_history(settle=False, progress=progress) as history:
        recorded, remarks = history.measurements(), [*taken, *history.remarks]
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


def _read_entries(
    csv: Path | None, values: Mapping[str, Any], now: datetime, logs: Sequence[Path], options: LogOptions
) -> tuple[str, Sequence[_Entry], Sequence[str]]:
    """Return the name of the run that holds them, the measurements, and sentences on what was taken from where."""
    if csv and logs:
        raise InputError("--csv: does not go with logs; enter the one after the other")
    if not logs and options != LogOptions():
        raise InputError(
            "--framework and --log-pattern say how a log is read: give the log, or leave them out"
        )
    if logs:
        readings = [read_entry(log, values, FLAGS, options) for log in logs]
        entries = [(entry, entry.measurement(now, "")) for entry, _ in readings]
        return entries[0][0].model, entries, [sentence for _, sentence in readings]
    if csv is None:
        if not values:
            raise InputError(
                "nothing to enter: give --model, --gpus, --batch-size and a throughput or a log, or --csv FILE"
            )
        entry = parse_entered(values, FLAGS)
        return entry.model, [(entry, entry.measurement(now, "entered by hand"))], ()
    if extra := [FLAGS[key] for key in values if key != "source"]:
        raise InputError(f"{extra[0]}: does not go with --csv: the file has a column for it")
    source = values.get("source", csv.name)
    return csv.stem, [(entry, entry.measurement(now, source)) for _, entry in read_csv(csv)], ()


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
