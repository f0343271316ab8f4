"""What commands that read the history share: it is up to date, and a run is found by a part of its id."""

import difflib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..cluster_profiles.units import join_names
from ..errors import ClusterplanError, HistoryError, InputError
from ..estimator.history.runs import History
from ..launcher.run_folder.folder import history_path
from ..launcher.runs.collect import collect, folders_to_collect
from ..launcher.runs.status import settle_open_runs
from .options import say, the_latest

_LOT_S = 0.5  # of runs that are committed together
_OTHERS_S = 0.03  # for one who waits to write, and looks ten times a second
_CLEARED = "\r\x1b[K"


@contextmanager
def collected() -> Iterator[History]:
    """The history with everything that lies in registered run folders; what cannot be read is said and left.

    Submitted runs that have ended without a word get their last one first, as far as Slurm answers.
    """
    with History(history_path(os.environ)) as db:
        settle_open_runs(db.path)
        for error in collect_all(folders_to_collect(db), db):
            say(f"not collected: {error}")
        yield db


def collect_all(folders: Sequence[Path], db: History) -> Iterator[ClusterplanError]:
    """Fold runs into the history; what went wrong.  Where that takes a while, a terminal is told how far it is."""
    live, line, due_s = sys.stderr is not None and sys.stderr.isatty(), "", time.monotonic() + _LOT_S
    try:
        with db.held():
            for number, folder in enumerate(folders, 1):
                if time.monotonic() > due_s:
                    db.flush()
                    time.sleep(_OTHERS_S)
                    due_s = time.monotonic() + _LOT_S
                    line = f"collecting run {number:,} of {len(folders):,}" if live else ""
                    click.echo(line and _CLEARED + line, nl=False, err=True)
                try:
                    collect(folder, db)
                except HistoryError:  # of the file itself: the other runs would say the same
                    raise
                except ClusterplanError as error:
                    yield error
    except HistoryError as error:
        yield error
    click.echo(line and _CLEARED, nl=False, err=True)


def find_run(runs: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    """The latest whose id is or begins with `wanted`; `runs` begin with the latest.  Raises InputError."""
    ids = [run["run"] for run in runs]
    if not runs:
        raise InputError("there are no runs yet: `clusterplan sample -- COMMAND` makes one")
    if wanted is None:
        return runs[0]
    found = [run for run in runs if run["run"] == wanted] or [
        run for run in runs if run["run"].startswith(wanted)
    ]
    if found:
        the_latest([run["run"] for run in found], wanted)
        return found[0]
    nearest = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.3) or ids[:3]
    raise InputError(f"run {wanted!r} is not in the history; the nearest are {join_names(nearest)}")
