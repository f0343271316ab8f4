"""What commands that read the history share: it is up to date, and a run is found by a part of its id."""

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ..cluster_profiles.units import listed
from ..errors import ClusterplanError, HistoryError, InputError
from ..estimator.history import History
from ..launcher.collect import collect, registered
from ..launcher.run_folder import history_path
from ..launcher.status import settle


@contextmanager
def collected() -> Iterator[History]:
    """The history with everything that lies in registered run folders; what cannot be read is said and left.

    Submitted runs that have ended without a word get their last one first, as far as Slurm answers.
    """
    with History(history_path(os.environ)) as db:
        settle(db.path)
        for folder in registered(db.path):
            try:
                collect(folder, db)
            except HistoryError as error:  # of the file itself: the other runs would say the same
                click.echo(f"not collected: {error}", err=True)
                break
            except ClusterplanError as error:
                click.echo(f"not collected: {error}", err=True)
        yield db


def find_run(runs: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    ids = [run["run"] for run in runs]
    if not runs:
        raise InputError("there are no runs yet: `clusterplan sample -- COMMAND` makes one")
    if wanted is None:
        return runs[0]
    found = [run for run in runs if run["run"] == wanted] or [
        run for run in runs if run["run"].startswith(wanted)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"run {wanted!r} is ambiguous: say one of {listed(run['run'] for run in found)}")
    nearest = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.3) or ids[:3]
    raise InputError(f"run {wanted!r} is not in the history; the nearest are {listed(nearest)}")
