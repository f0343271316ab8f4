"""Fold run folders into the history: as often as one likes, while they are written, after any crash.

A run is folded in parts: its facts, the samples of its GPUs, the events of its attempts, the estimate before it, its
progress, and the notes once it has ended.  Each part is written as a whole, so nothing is read twice or lost.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ClusterplanError, HistoryError, RunFolderError, SpoolError, UnfitValue, UnreadableFile
from ...estimator.gpu_use.reading import Event, SpoolPosition
from ...estimator.gpu_use.report import build_report
from ...estimator.history.runs import History
from ...estimator.measurements.training_loop import LoopLine
from ..forecast.kept import read_start_forecast
from ..in_training.progress_file import PROGRESS_FILE
from ..run_folder.final_status import FinalStatus
from ..run_folder.folder import RUN_FILE, file_exists
from ..run_folder.progress.loop_lines import read_first_and_latest, read_progress
from ..run_folder.records.booking import read_booking
from ..run_folder.records.estimate import read_estimate
from ..run_folder.registry import registered_folders
from ..sampler.spool import SUFFIX
from .collect_samples import collect_samples
from .measurement import measure_run, observed_precision, stated_precision
from .record.estimate import estimate_row
from .record.facts import digest, open_state, run_row
from .record.faults import describe_fault, has_text_name
from .record.software import software_of
from .run_files import RunFiles, find_other_faults, read_run_files

if TYPE_CHECKING:
    from ..run_folder.task_records import Attempt, TaskRecord


@dataclass(frozen=True)
class _Collection:
    """A run folder as it is now; `bytes_` are the sizes of its growing files by name, `faults` those of its parts."""

    run: RunFiles
    bytes_: Mapping[str, int]
    faults: list[ClusterplanError] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.run.folder.name

    @property
    def final(self) -> FinalStatus | None:
        return self.run.final

    def part(self, collect: Callable[["_Collection", History], None], history: History) -> None:
        """Collect a part of the run; what is wrong with its file costs no other part."""
        try:
            collect(self, history)
        except (UnreadableFile, SpoolError) as fault:
            self.faults.append(fault)


def folders_of_history(history: Path) -> Iterator[Path]:
    """Yield the folder of every run that is registered beside `history` and still exists, the earliest first."""
    return filter(file_exists, reversed(registered_folders(history)))


def folders_to_collect(history: History) -> list[Path]:
    """Return the folders of registered runs that the history does not have as a whole."""
    ended = history.ended()
    return [folder for folder in folders_of_history(history.path) if not _is_whole(folder, ended)]


def _is_whole(folder: Path, ended: Mapping[str, Mapping[str, int]]) -> bool:
    try:
        return ended.get(folder.name) == _read_bytes(folder)
    except UnreadableFile:  # its collection says why
        return False


def collect_run(folder: Path, history: History, *, steps: bool = True) -> None:
    """Fold everything new in one run's folder into the history, and the notes on it once it has ended.

    Without `steps`, which are read from the first one each time, only the precision of the run is read from them.
    Raises UnreadableFile or SpoolError for the first file that cannot be read, after all others were read; RunFolderError
    for a value that the history cannot keep; or HistoryError.  Parts that were folded before stay, and the history keeps
    what is wrong, so that the run is read again.
    """
    if not has_text_name(folder):
        raise UnreadableFile(folder, "its name is no UTF-8 text, so the history cannot keep it")
    try:
        _collect_run(folder, history, steps=steps)
    except HistoryError:
        raise
    except ClusterplanError as error:
        history.put_fault(folder.name, describe_fault(folder, error))
        raise


def _collect_run(folder: Path, history: History, *, steps: bool) -> None:
    try:
        bytes_ = _read_bytes(folder)
        if history.has_whole(folder.name, bytes_):
            return
        collection = _Collection(read_run_files(folder), bytes_)
        if (run := collection.run.facts.get("run", folder.name)) != folder.name:
            raise UnreadableFile(folder / RUN_FILE, f"is that of {run:.80}: give the folder that name")
        collection.faults.extend(collection.run.faults)
        _collect_parts(collection, history, steps=steps)
    except UnfitValue as error:
        raise RunFolderError(f"{folder}: {error}") from None
    except OSError as error:
        raise UnreadableFile.of(error.filename or folder, error) from None
    if collection.faults:
        raise collection.faults[0]
    if history.fault(folder.name):
        history.remove_fault(folder.name)


def _collect_parts(files: _Collection, history: History, *, steps: bool) -> None:
    _collect_facts(files, history)
    sampled, faults = collect_samples(
        files.run.folder,
        files.bytes_.keys() - {PROGRESS_FILE},
        history,
        has_ended=files.final is not None and files.final.ended_s is not None,
    )
    files.faults.extend(faults)
    _collect_events(files, history)
    is_new = sampled or not history.has_ended(files.name) or history.fault(files.name) is not None
    if not steps:
        files.part(_collect_precision, history)
    # An ended run is not measured again: its readings may be gone.
    elif is_new or _progress_has_grown(files, history):
        files.part(_collect_estimate, history)
        files.part(_collect_start_forecast, history)
        files.part(_collect_progress, history)
    if is_new and files.final and files.final.ended_s is not None:
        files.faults.extend(find_other_faults(files.run.folder))
        if sampled:
            history.flush()  # the report on weeks of samples takes a while
        _collect_notes(files, files.final, history)


def _collect_facts(files: _Collection, history: History) -> None:
    """Put what the folder says of the run, but for its end: a run that has ended has its notes."""
    state = files.final.state if files.final else open_state(files.run)
    packages = software_of(files.run.facts).packages
    no_end = {} if files.final else {"ended_s": None, "exit_code": None}  # one that was given up may go on
    with history.writing():
        if packages:
            history.put_packages(digest(packages), packages)
        history.put_run({**run_row(files.run), "state": state, **no_end})


def _collect_events(files: _Collection, history: History) -> None:
    """Add each node's end of each attempt; that of an attempt that was killed is its last heartbeat."""
    last = files.run.tasks[-1].attempt if files.run.tasks else None
    groups: dict[tuple[Attempt, str], list[TaskRecord]] = {}
    for task in files.run.tasks:
        groups.setdefault((task.attempt, task.node), []).append(task)
    with history.writing():
        for (attempt, node), group in groups.items():
            if attempt != last or all(task.ended_s is not None for task in group):
                ended_s = max(task.beat_s if task.ended_s is None else task.ended_s for task in group)
                event = Event(ended_s, "attempt_ended", f"attempt {attempt} was over")
                history.put_events(files.name, node, [(event, None)])


def _collect_estimate(files: _Collection, history: History) -> None:
    """Put the estimate that the run was submitted with, and the partition."""
    folder = files.run.folder
    booking = read_booking(folder)
    with history.writing():
        history.put_partition(files.name, booking.partition)
    if row := estimate_row(read_estimate(folder), booking, files.run.facts):
        with history.writing():
            history.put_estimate(files.name, row)


def _collect_start_forecast(files: _Collection, history: History) -> None:
    """Put the start that was forecast for the run at its submission."""
    if start := read_start_forecast(files.run.folder):
        with history.writing():
            history.put_start_forecast(files.name, vars(start))


def _progress_has_grown(files: _Collection, history: History) -> bool:
    return history.spool_position(files.name, PROGRESS_FILE)[0] < files.bytes_.get(PROGRESS_FILE, 0)


def _collect_progress(files: _Collection, history: History) -> None:
    """Put the run's measurement as far as it has got, its precision, and the position after its progress."""
    lines, end = read_progress(files.run.folder)
    measurements = measure_run(files.run, lines, history)
    with history.writing():
        history.put_measurements(files.name, measurements)
        _put_loop(files, lines, history)
        if PROGRESS_FILE in files.bytes_:
            history.put_spool(files.name, PROGRESS_FILE, "", SpoolPosition(end, len(lines)))


def _collect_precision(files: _Collection, history: History) -> None:
    """Put the run's precision, from the first and the latest lines of its progress."""
    lines = read_first_and_latest(files.run.folder)
    with history.writing():
        _put_loop(files, lines, history)


def _put_loop(files: _Collection, lines: Sequence[LoopLine], history: History) -> None:
    """Put the last step, and the precision that was planned and seen."""
    planned = stated_precision(files.run.folder, files.run.facts)
    history.put_loop(files.name, lines[-1].step if lines else None, planned, observed_precision(lines))


def _collect_notes(files: _Collection, final: FinalStatus, history: History) -> None:
    """Put the end of a run and its notes together, so that a run that counts as ended has them."""
    end = {"state": final.state, "ended_s": final.ended_s, "exit_code": final.exit_code}
    notes = build_report(history.record(files.name), ended_s=final.ended_s).notes
    with history.writing():
        history.put_run({**run_row(files.run), **end})
        history.put_notes(
            files.name, ({"code": note.code, "text": note.text, "uuids": note.uuids} for note in notes)
        )


def _read_bytes(folder: Path) -> dict[str, int]:
    """Return the sizes of the growing files of a run, by name.  Raises UnreadableFile."""
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name: entry.stat().st_size
                for entry in entries
                if (entry.name.endswith(SUFFIX) or entry.name == PROGRESS_FILE) and entry.is_file()
            }
    except OSError as error:
        raise UnreadableFile.of(error.filename or folder, error) from None
