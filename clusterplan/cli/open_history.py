"""Open the history for a command: bring it up to date, and find a run by the beginning of its id."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..api.history import History, collect, find_runs
from ..errors import ClusterplanError
from ..estimator.history.runs import History as HistoryOfRuns
from .options import choose_latest, say, show_collecting


@contextmanager
def open_history(*, settle: bool = True) -> Iterator[History]:
    """Open the history, with everything new in registered run folders; a run that cannot be read is named on stderr.

    With `settle`, the ends of runs that were killed without a word are written first, as far as Slurm answers.
    """
    with History() as history:
        for error in collect_runs(None, history, settle=settle):
            say(f"not collected: {error}")
        yield history


def collect_runs(
    folders: Iterable[Path] | None, history: HistoryOfRuns, *, settle: bool = False
) -> list[ClusterplanError]:
    """Fold runs into the history, and return the errors; a terminal shows the progress where it takes long."""
    with show_collecting() as progress:
        return collect(folders, history, settle=settle, progress=progress)


def find_run(runs: list[dict[str, Any]], beginning: str | None) -> dict[str, Any]:
    """Return the latest run of that id or beginning; `runs` begin with the latest.  Raises InputError."""
    matches = find_runs(runs, beginning)
    choose_latest([run["run"] for run in matches], beginning)
    return matches[0]
