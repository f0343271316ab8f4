"""Fold run folders into the history: as often as one likes, while they are written, after any crash.

Rows and the position they were read up to are committed together, so nothing is read twice or lost.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import RunFolderError, SpoolError, UnfitValue
from ...estimator.gpu_use.reading import Event, GpuReading, Tick
from ...estimator.gpu_use.report import build_report
from ...estimator.history.runs import History
from ...estimator.measurements.training_loop import LoopLine
from ..in_training.tracker import PROGRESS_FILE
from ..run_folder.folder import ESTIMATE_FILE, RUN_FILE, STATUS_FILE, file_exists
from ..run_folder.progress import read_first_and_latest, read_progress
from ..run_folder.registry import registered_folders
from ..run_folder.task_records import TASKS, Attempt, TaskRecord, read_task_records
from ..sampler.spool import SUFFIX, Damage, open_spool, read_frames
from ..sampler.spool_items import decode
from .measurement import SUBMITTED, measure_run, planned_precision, seen_precision

_RUN_FACTS = ("kind", "name", "model", "host", "began_s")
_STATUS_FACTS = ("state", "ended_s", "exit_code")
_LOT = 2_400  # frames held at a time: four blocks of the history at one a second
_GPU_FACTS = ("uuid", "index", "name", "memory_bytes", "power_limit_w", "compute_capability", "mig_parent")


def folders_of_history(history: Path) -> Iterator[Path]:
    """The folder of every run that is registered beside `history` and still there, the earliest first."""
    for folder in reversed(registered_folders(history)):
        if file_exists(folder / RUN_FILE):
            yield folder


def folders_to_collect(history: History) -> list[Path]:
    """The folder of every run that is registered beside the history, and of which it has not all."""
    known = history.ended()
    return [folder for folder in folders_of_history(history.path) if known.get(folder.name) != _sizes(folder)]


def collect(folder: Path, history: History, *, steps: bool = True) -> None:
    """Everything new in one run's folder, and what is to be noted of it once it has ended.

    Without `steps`, which are read from the first one each time, only their precision is; the rest is left for later.
    Raises SpoolError for the first spool that cannot be read, after all others were; RunFolderError for a value that
    the history cannot keep; or HistoryError, and what is done stays done.
    """
    sizes = _sizes(folder)
    if history.has_whole(folder.name, sizes):
        return
    try:
        _collect(folder, sizes, history, steps=steps)
    except UnfitValue as error:
        raise RunFolderError(f"{folder}: {error}") from None


def _collect(folder: Path, sizes: Mapping[str, int], history: History, *, steps: bool) -> None:
    run = _read_json(folder / RUN_FILE)
    status = _read_json(folder / STATUS_FILE)
    tasks = read_task_records(folder)
    facts = {
        "run": folder.name,
        **{key: run.get(key) for key in _RUN_FACTS},
        "started_s": _started_s(run, tasks),
        "command": json.dumps(run.get("command", [])),
        "folder": str(folder),
    }
    with history.writing():
        history.put_run({**facts, "state": status.get("state") or _open_state(folder, run)})
    wrong, sampled = [], False
    for name in sorted(sizes.keys() - {PROGRESS_FILE}):
        try:
            sampled |= _collect_spool(folder.name, folder / name, history)
        except SpoolError as error:
            wrong.append(error)
    with history.writing():
        for node, event in _attempt_ends(tasks):
            history.put_events(folder.name, node, [(event, None)])
    news = sampled or not history.has_ended(folder.name)
    grown = history.spool_position(folder.name, PROGRESS_FILE)[0] < sizes.get(PROGRESS_FILE, 0)
    try:
        if not steps:
            _collect_precision(folder, run, read_first_and_latest(folder), history)
        elif news or grown:  # not of a torn spool over and over: its raw readings may be gone
            _collect_steps(folder, run, history)
    except OSError as error:
        raise SpoolError(f"{folder / PROGRESS_FILE}: cannot be read: {error.strerror}") from None
    if news and status.get("ended_s") is not None:
        if sampled:
            history.flush()  # the report of weeks of samples takes a while
        _put_end({**facts, **{key: status.get(key) for key in _STATUS_FACTS}}, history)
    if wrong:
        raise wrong[0]


def _put_end(facts: Mapping[str, Any], history: History) -> None:
    """The end of a run and its notes together, so that a run that counts as ended has them."""
    found = build_report(history.record(facts["run"]), ended_s=facts["ended_s"]).notes
    with history.writing():
        history.put_run(facts)
        history.put_notes(facts["run"], ({"code": n.code, "text": n.text, "uuids": n.uuids} for n in found))


def _sizes(folder: Path) -> dict[str, int]:
    """The files of a run that grow, by name, and how far they have."""
    with os.scandir(folder) as entries:
        return {
            e.name: e.stat().st_size for e in entries if e.name.endswith(SUFFIX) or e.name == PROGRESS_FILE
        }


def _open_state(folder: Path, run: Mapping[str, Any]) -> str:
    begun = run.get("kind") != "submit" or any((folder / TASKS).glob("*.json"))
    return "running" if begun else "pending"


def _started_s(run: Mapping[str, Any], tasks: Sequence[TaskRecord]) -> float | None:
    """When the first attempt began; what was not submitted waits in no queue."""
    if run.get("kind") != SUBMITTED and not tasks:
        return run.get("began_s")
    return min((task.began_s for task in tasks if task.state != "waiting"), default=None)


def _attempt_ends(tasks: Sequence[TaskRecord]) -> Iterator[tuple[str, Event]]:
    """Yield each node's end of each attempt; that of an attempt that was killed is its last heartbeat."""
    last = tasks[-1].attempt if tasks else None
    groups: dict[tuple[Attempt, str], list[TaskRecord]] = {}
    for task in tasks:
        groups.setdefault((task.attempt, task.node), []).append(task)
    for (attempt, node), group in groups.items():
        if attempt != last or all(task.ended_s is not None for task in group):
            ended_s = max(task.beat_s if task.ended_s is None else task.ended_s for task in group)
            yield node, Event(ended_s, "attempt_ended", f"attempt {attempt} was over")


def _collect_steps(folder: Path, run: Mapping[str, Any], history: History) -> None:
    """The run's measurement as far as it has got, and the estimate that was made before it."""
    lines, end = read_progress(folder)
    found = measure_run(folder, run, lines, history)
    predicted = _predicted(folder / ESTIMATE_FILE, run)
    with history.writing():
        history.put_measurements(folder.name, found)
        _collect_precision(folder, run, lines, history)
        if predicted:
            history.put_estimate(folder.name, predicted)
        if (folder / PROGRESS_FILE).exists():
            history.put_spool(folder.name, PROGRESS_FILE, "", end, len(lines), 0)


def _collect_precision(
    folder: Path, run: Mapping[str, Any], lines: Sequence[LoopLine], history: History
) -> None:
    with history.writing():
        history.put_precision(folder.name, planned_precision(folder, run), seen_precision(lines))


def _predicted(path: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The estimate that a run was submitted with: a document of `clusterplan estimate --json`."""
    document = _read_json(path)
    source = document.get("source")
    if not isinstance(source, dict) or not isinstance(run.get("began_s"), int | float):
        return None
    values = {"made_s": run["began_s"], "source": source.get("text", ""), "source_kind": source.get("kind")}
    for name, key, quantiles in (
        ("step_time", "step_time_s", ("p10", "p50", "p90")),
        ("wall_clock", "wall_clock_s", ("p10", "p50", "p90", "p95")),
    ):
        known = document.get(key)
        for q in quantiles:
            values[f"{name}_{q}_s"] = known.get(q) if isinstance(known, dict) else None
    return values


def _collect_spool(run: str, path: Path, history: History) -> bool:
    """The frames of a spool that came since the last time, lot after lot; whether there were any."""
    with open_spool(path) as (file, header):
        news = False
        while _collect_lot(run, path.name, file, header, history):
            history.flush()
            news = True
    return news


def _collect_lot(run: str, spool: str, file: BinaryIO, header: Mapping[str, Any], history: History) -> bool:
    """The next frames of a spool, in one transaction with the position after them; whether there were any."""
    node, uuids = header["node"], [gpu["uuid"] for gpu in header["gpus"]]
    with history.writing():
        offset, frames, damaged = history.spool_position(run, spool)
        before = frames
        readings: dict[str, list[tuple[float, GpuReading]]] = {}
        events: list[tuple[Event, str | None]] = []
        if not frames and isinstance(header.get("time_s"), int | float):
            events.append((Event(header["time_s"], "start", f"sampling began: {spool}"), None))
        for piece in read_frames(file, offset):
            if isinstance(piece, Damage):
                damaged += piece.end - piece.start
                continue
            offset, frames = piece.end, frames + 1
            if piece.sequence:
                _sort(decode(piece.payload), uuids, readings, events)
            if frames - before == _LOT:
                break
        if frames == before:
            return False
        facts = {key: header.get(key) for key in ("driver", "attribution", "period_s")}
        history.put_node(
            run, node, facts, [{key: gpu.get(key) for key in _GPU_FACTS} for gpu in header["gpus"]]
        )
        for uuid, rows in readings.items():
            history.put_readings(run, spool, uuid, rows)
        history.put_events(run, node, events)
        history.put_spool(run, spool, node, offset, frames, damaged)
    return True


def _sort(
    item: Tick | Event,
    uuids: list[str],
    readings: dict[str, list[tuple[float, GpuReading]]],
    events: list[tuple[Event, str | None]],
) -> None:
    if isinstance(item, Event):
        events.append((item, None if item.gpu is None else uuids[item.gpu]))
        return
    for reading in item.readings:
        readings.setdefault(uuids[reading.gpu], []).append((item.time_s, reading))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not written yet, or not whole: the next collection sees it
        return {}
    return values if isinstance(values, dict) else {}
