"""What commands that read the history share: it is up to date, and a run is found by a part of its id."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..api.history import History, collect, find_runs
from ..errors import ClusterplanError
from ..estimator.history.runs import History as HistoryOfRuns
from .options import say, show_collecting, the_latest


@contextmanager
def collected(*, settle: bool = True) -> Iterator[History]:
    """The history with everything that lies in registered run folders; what cannot be read is said and left.

    With `settle`, submitted runs that have ended without a word get their last one first, as far as Slurm answers.
    """
    with History() as history:
        for error in collect_all(None, history, settle=settle):
            say(f"not collected: {error}")
        yield history


def collect_all(
    folders: Iterable[Path] | None, history: HistoryOfRuns, *, settle: bool = False
) -> list[ClusterplanError]:
    """Fold runs into the history; what went wrong.  Where that takes a while, a terminal is told how far it is."""
    with show_collecting() as progress:
        return collect(folders, history, settle=settle, progress=progress)


def find_run(runs: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    """The latest whose id is or begins with `wanted`; `runs` begin with the latest.  Raises InputError."""
    matches = find_runs(runs, wanted)
    the_latest([run["run"] for run in matches], wanted)
    return matches[0]
