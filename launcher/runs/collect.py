"""Fold run folders into the history: as often as one likes, while they are written, after any crash.

A run is folded in parts: its facts, the samples of its GPUs, the events of its attempts, the estimate before it, its
progress, and the notes once it has ended.  Each part is written as a whole, so nothing is read twice or lost.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import RunFolderError, SpoolError, UnfitValue
from ...estimator.gpu_use.reading import Event, SpoolPosition
from ...estimator.gpu_use.report import build_report
from ...estimator.history.runs import History
from ...estimator.measurements.training_loop import LoopLine
from ..forecast.kept import read_start_forecast
from ..in_training.progress_file import PROGRESS_FILE
from ..run_folder.final_status import read_final_status
from ..run_folder.folder import ESTIMATE_FILE, REQUEST_FILE, RUN_FILE, TASKS, file_exists
from ..run_folder.progress.loop_lines import read_first_and_latest, read_progress
from ..run_folder.registry import registered_folders
from ..run_folder.task_records import Attempt, TaskRecord, read_task_records
from ..sampler.spool import SUFFIX
from .collect_samples import collect_samples
from .measurement import SUBMITTED, measure_run, observed_precision, stated_precision
from .record.attempts import sum_attempts
from .record.estimate import estimate_row
from .record.software import software_of

_RUN_FACTS = ("kind", "name", "model", "host", "user", "began_s")
_STATUS_FACTS = ("state", "ended_s", "exit_code")


@dataclass(frozen=True)
class _RunFiles:
    """A run folder as it is now; `bytes_` are the sizes of its growing files by name."""

    folder: Path
    bytes_: Mapping[str, int]
    run: Mapping[str, Any]
    status: Mapping[str, Any]
    tasks: Sequence[TaskRecord]

    @property
    def name(self) -> str:
        return self.folder.name


def folders_of_history(history: Path) -> Iterator[Path]:
    """Yield the folder of every run that is registered beside `history` and still exists, the earliest first."""
    for folder in reversed(registered_folders(history)):
        if file_exists(folder / RUN_FILE):
            yield folder


def folders_to_collect(history: History) -> list[Path]:
    """Return the folders of registered runs that the history does not have as a whole."""
    ended = history.ended()
    return [
        folder for folder in folders_of_history(history.path) if ended.get(folder.name) != _read_bytes(folder)
    ]


def collect_run(folder: Path, history: History, *, steps: bool = True) -> None:
    """Fold everything new in one run's folder into the history, and the notes on it once it has ended.

    Without `steps`, which are read from the first one each time, only the precision of the run is read from them.
    Raises SpoolError for the first spool that cannot be read, after all others were read; RunFolderError for a value
    that the history cannot keep; or HistoryError.  Parts that were folded before stay.
    """
    file_bytes = _read_bytes(folder)
    if history.has_whole(folder.name, file_bytes):
        return
    files = _RunFiles(
        folder,
        file_bytes,
        run=_read_json(folder / RUN_FILE),
        status=read_final_status(folder) or {},
        tasks=read_task_records(folder),
    )
    try:
        faults = _collect_parts(files, history, steps=steps)
    except UnfitValue as error:
        raise RunFolderError(f"{folder}: {error}") from None
    if faults:
        raise faults[0]


def _collect_parts(files: _RunFiles, history: History, *, steps: bool) -> Sequence[SpoolError]:
    _collect_facts(files, history)
    sampled, faults = collect_samples(
        files.folder,
        files.bytes_.keys() - {PROGRESS_FILE},
        history,
        has_ended=files.status.get("ended_s") is not None,
    )
    _collect_events(files, history)
    is_new = sampled or not history.has_ended(files.name)
    if not steps:
        _collect_precision(files, history)
    elif is_new or _progress_has_grown(
        files, history
    ):  # an ended run is not measured again: its readings may be gone
        _collect_estimate(files, history)
        _collect_progress(files, history)
    if is_new and files.status.get("ended_s") is not None:
        if sampled:
            history.flush()  # the report on weeks of samples takes a while
        _collect_notes(files, history)
    return faults


def _collect_facts(files: _RunFiles, history: History) -> None:
    """Put what the folder says of the run, but for its end: a run that has ended has its notes."""
    state = files.status.get("state") or _open_state(files)
    packages = software_of(files.run).packages
    with history.writing():
        if packages:
            history.put_packages(_digest(packages), packages)
        history.put_run({**_facts(files), "state": state})


def _facts(files: _RunFiles) -> dict[str, Any]:
    software, attempts, steps = software_of(files.run), sum_attempts(files.tasks), files.run.get("steps")
    return {
        "run": files.name,
        **{key: files.run.get(key) for key in _RUN_FACTS},
        "started_s": _started_s(files),
        "command": json.dumps(files.run.get("command", [])),
        "folder": str(files.folder),
        "steps_planned": steps if isinstance(steps, int) else None,
        "git_commit": software.commit,
        "package_list": _digest(software.packages) if software.packages else None,
        **(asdict(attempts) if attempts else {}),
    }


def _digest(packages: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(packages).encode(errors="replace")).hexdigest()[:16]


def _open_state(files: _RunFiles) -> str:
    started = files.run.get("kind") != SUBMITTED or any(
        (files.folder / TASKS).glob("*.json")
    )  # be they damaged
    return "running" if started else "pending"


def _started_s(files: _RunFiles) -> float | None:
    """Return when the first attempt began; a run that was not submitted waits in no queue."""
    if files.run.get("kind") != SUBMITTED and not files.tasks:
        return files.run.get("began_s")
    return min((task.began_s for task in files.tasks if task.state != "waiting"), default=None)


def _collect_events(files: _RunFiles, history: History) -> None:
    """Add each node's end of each attempt; that of an attempt that was killed is its last heartbeat."""
    last = files.tasks[-1].attempt if files.tasks else None
    groups: dict[tuple[Attempt, str], list[TaskRecord]] = {}
    for task in files.tasks:
        groups.setdefault((task.attempt, task.node), []).append(task)
    with history.writing():
        for (attempt, node), group in groups.items():
            if attempt != last or all(task.ended_s is not None for task in group):
                ended_s = max(task.beat_s if task.ended_s is None else task.ended_s for task in group)
                event = Event(ended_s, "attempt_ended", f"attempt {attempt} was over")
                history.put_events(files.name, node, [(event, None)])


def _collect_estimate(files: _RunFiles, history: History) -> None:
    """Put the estimate that the run was submitted with, a document of `clusterplan estimate --json`, and its forecast start."""
    document, request = (_read_json(files.folder / name) for name in (ESTIMATE_FILE, REQUEST_FILE))
    if row := estimate_row(document, request, files.run):
        with history.writing():
            history.put_estimate(files.name, row)
    if start := read_start_forecast(files.folder):
        with history.writing():
            history.put_start_forecast(files.name, vars(start))


def _progress_has_grown(files: _RunFiles, history: History) -> bool:
    return history.spool_position(files.name, PROGRESS_FILE)[0] < files.bytes_.get(PROGRESS_FILE, 0)


def _collect_progress(files: _RunFiles, history: History) -> None:
    """Put the run's measurement as far as it has got, its precision, and the position after its progress."""
    try:
        lines, end = read_progress(files.folder)
    except OSError as error:
        raise _unreadable(files, error) from None
    measurements = measure_run(files.folder, files.run, lines, history)
    with history.writing():
        history.put_measurements(files.name, measurements)
        _put_loop(files, lines, history)
        if PROGRESS_FILE in files.bytes_:
            history.put_spool(files.name, PROGRESS_FILE, "", SpoolPosition(end, len(lines)))


def _collect_precision(files: _RunFiles, history: History) -> None:
    """Put the run's precision, from the first and the latest lines of its progress."""
    try:
        lines = read_first_and_latest(files.folder)
    except OSError as error:
        raise _unreadable(files, error) from None
    with history.writing():
        _put_loop(files, lines, history)


def _put_loop(files: _RunFiles, lines: Sequence[LoopLine], history: History) -> None:
    """Put the last step, and the precision that was planned and seen."""
    planned = stated_precision(files.folder, files.run)
    history.put_loop(files.name, lines[-1].step if lines else None, planned, observed_precision(lines))


def _unreadable(files: _RunFiles, error: OSError) -> SpoolError:
    return SpoolError(f"{files.folder / PROGRESS_FILE}: cannot be read: {error.strerror}")


def _collect_notes(files: _RunFiles, history: History) -> None:
    """Put the end of a run and its notes together, so that a run that counts as ended has them."""
    status = {key: files.status.get(key) for key in _STATUS_FACTS}
    notes = build_report(history.record(files.name), ended_s=status["ended_s"]).notes
    with history.writing():
        history.put_run({**_facts(files), **status})
        history.put_notes(
            files.name, ({"code": note.code, "text": note.text, "uuids": note.uuids} for note in notes)
        )


def _read_bytes(folder: Path) -> dict[str, int]:
    """Return the sizes of the growing files of a run, by name."""
    with os.scandir(folder) as entries:
        return {
            entry.name: entry.stat().st_size
            for entry in entries
            if (entry.name.endswith(SUFFIX) or entry.name == PROGRESS_FILE) and entry.is_file()
        }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not written yet, or not whole: the next collection sees it
        return {}
    return values if isinstance(values, dict) else {}
