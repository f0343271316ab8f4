"""The history from Python: open it, bring it up to date, find a run in it."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...cluster_profiles.units import plural
from ...errors import ClusterplanError, HistoryError, InputError, NotCollected
from ...estimator.history.runs import History as HistoryOfRuns
from ...launcher.run_folder.folder import history_path
from ...launcher.run_folder.registry import find_similar, name_nearest
from ...launcher.runs.collect import collect_run, folders_to_collect
from ...launcher.runs.record.faults import find_known_fault, has_text_name
from ...launcher.runs.run_files import RunFault
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.settle import settle_open_runs
from ..measurements import ProgressCallback

_NOT_COLLECTED = "not collected"
_LOT_S = 0.5  # of runs that are committed together
_OTHERS_S = 0.03  # for one who waits to write, and looks ten times a second


class History(HistoryOfRuns):
    """Open the history file at `path`; without a path, the file that the commands use.

    That is `$CLUSTERPLAN_HISTORY`, or `clusterplan/history.db` in the user's data folder.  A file that does not exist
    is made.  Close it, or use it in `with`.  Reading it neither collects runs nor asks Slurm: call `collect` first.
    Raises HistoryError if it cannot be opened or read.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, History(f"{folder}/history.db") as history:
        ...     history.runs(model="phi2")
        []
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(history_path(os.environ) if path is None else Path(path))


def collect(
    folders: Iterable[str | os.PathLike[str]] | None = None,
    history: HistoryOfRuns | None = None,
    *,
    settle: bool = True,
    progress: ProgressCallback | None = None,
) -> list[ClusterplanError]:
    """Read everything new in run folders into the history, and return the error of each run for which that failed.

    A second call changes nothing.  `folders` are run folders, by default those of all runs that are registered beside
    the history; `history` is by default the one that the commands use.  With `settle`, the ends of runs that were
    killed before they could write them are written down first, if Slurm answers within 20 s.  `progress` is called
    with the number of each run that is read, and the number of runs.  Raises HistoryError if the history cannot be
    opened.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, History(f"{folder}/history.db") as history:
        ...     collect(history=history)
        []
    """
    if history is None:
        with History() as opened:
            return collect(folders, opened, settle=settle, progress=progress)
    if settle:
        settle_open_runs(history.path)
    chosen = (
        folders_to_collect(history) if folders is None else [Path(folder).resolve() for folder in folders]
    )
    return list(_collect(chosen, history, progress, keeps_known=folders is None))


def _collect(
    folders: Sequence[Path],
    history: HistoryOfRuns,
    progress: ProgressCallback | None,
    *,
    keeps_known: bool,
) -> Iterator[ClusterplanError]:
    """Collect runs; with `keeps_known` those with a fault that must still be there are not read again."""
    due_s = time.monotonic() + _LOT_S
    try:
        with history.hold():
            for number, folder in enumerate(folders, 1):
                if progress:
                    progress(number, len(folders))
                if time.monotonic() > due_s:
                    history.flush()
                    time.sleep(_OTHERS_S)
                    due_s = time.monotonic() + _LOT_S
                has_name = has_text_name(folder)
                if keeps_known and has_name and (known := find_known_fault(folder, history)):
                    yield NotCollected(folder.name, known.reason, is_new=False)
                    continue
                before = history.fault(folder.name) if has_name else None
                try:
                    collect_run(folder, history)
                except HistoryError:  # of the file itself: the other runs would say the same
                    raise
                except ClusterplanError as error:
                    now = history.fault(folder.name) if has_name else None
                    is_new = before is None or now is None or now[:2] != before[:2]
                    yield NotCollected(folder.name, RunFault(folder, error).reason, is_new=is_new)
    except HistoryError as error:
        yield error


class CollectedHistory(History):
    """The history that the commands use, and `remarks`: sentences to print beside what is read of it."""

    def __init__(self) -> None:
        super().__init__()
        self.remarks: list[str] = []
        self._known: dict[str, str] = {}

    def add_errors(self, errors: Sequence[ClusterplanError]) -> None:
        """Add remarks on runs that were not collected; one that was told before is told where that run is asked for."""
        self.remarks += describe_errors(errors)
        for error in errors:
            if isinstance(error, NotCollected) and not error.is_new:
                self._known[error.run] = f"{_NOT_COLLECTED}: {error}"

    def find_run(self, run: str | RunStatus | None) -> dict[str, Any]:
        """Return the row of a run: of that id, or the latest with that beginning, or the latest of all.

        A remark says it if several have that beginning.  Raises InputError if there is none.
        """
        beginning = run.run if isinstance(run, RunStatus) else run
        first, *others = _find_runs(self.runs(), beginning)
        self.remarks += [self._known[first["run"]]] if first["run"] in self._known else []
        if others:
            self.remarks.append(
                f"{first['run']}: the latest of {1 + len(others):,} runs that begin with {beginning!r}"
            )
        return first


@contextmanager
def collected_history(
    *, settle: bool = True, progress: ProgressCallback | None = None
) -> Iterator[CollectedHistory]:
    """Open the history with everything new in run folders, as `collect` does; a run that cannot be read is a remark.

    An error inside the block carries the remarks as its notes.
    """
    with CollectedHistory() as history:
        errors = collect(history=history, settle=settle, progress=progress)
        history.add_errors(errors)
        with as_notes(history.remarks):
            yield history


def describe_errors(errors: Sequence[ClusterplanError]) -> list[str]:
    """Return a line for each run that was not collected, and one for all of which that was said before."""
    old = sum(isinstance(error, NotCollected) and not error.is_new for error in errors)
    new = [error for error in errors if not isinstance(error, NotCollected) or error.is_new]
    lines = [f"{_NOT_COLLECTED}: {error}" for error in new]
    if old:
        them, are = ("it", "is") if old == 1 else ("them", "are")
        lines.append(
            f"{plural(old, 'run')} {are} still {_NOT_COLLECTED}: `clusterplan history check` names {them}"
        )
    return lines


@contextmanager
def as_notes(remarks: Sequence[str]) -> Iterator[None]:
    """Add the remarks to an error inside the block as its notes, because no result carries them then."""
    try:
        yield
    except Exception as error:
        for remark in remarks:
            error.add_note(remark)
        raise


def _find_runs(runs: Sequence[dict[str, Any]], beginning: str | None = None) -> list[dict[str, Any]]:
    """Return the run of that id, or those whose ids begin with it, or the latest; `runs` begin with the latest."""
    if not runs:
        raise InputError("there are no runs yet: `clusterplan sample -- COMMAND` makes one")
    if beginning is None:
        return [runs[0]]
    matches = [run for run in runs if run["run"] == beginning] or [
        run for run in runs if run["run"].startswith(beginning)
    ]
    if matches:
        return matches
    ids = [run["run"] for run in runs]
    raise InputError(f"run {beginning!r} is not in the history; {name_nearest(find_similar(beginning, ids))}")
