"""The runs that are registered beside the history, found by the beginning of their ids.

There may be thousands of them on a slow disk: a folder is read only if the run's id does not tell enough.
"""

import difflib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from ...cluster_profiles.modes import denial
from ...cluster_profiles.units import join_names
from ...errors import HistoryError, InputError
from .final_status import has_final_status
from .folder import REQUEST_FILE, RUN_FILE, file_exists, links_folder

_BEGAN = re.compile(r"-(\d{8}T\d{6})-[0-9a-f]{4}$")
_MAX_SUGGESTIONS, _MAX_CANDIDATES = 3, 20


def registered_folders(history: Path) -> list[Path]:
    """Return every registered folder, the latest first by its id; some may no longer exist.

    Raises HistoryError if this user may not read the list.
    """
    links = links_folder(history)
    try:
        with os.scandir(links) as entries:
            links_by_time = [
                (_stamp(entry.name), entry.stat(follow_symlinks=False).st_mtime_ns, Path(entry.path))
                for entry in entries
                if entry.is_symlink()
            ]
    except PermissionError:
        raise HistoryError(f"{links}: {denial(links)}") from None
    except OSError:
        return []
    return [links / link.readlink() for *_, link in sorted(links_by_time, reverse=True)]


def runs_to_show(history: Path, kind: str, most_ended: int) -> tuple[dict[Path, dict[str, Any]], bool]:
    """Return the runs of a kind that have not ended and the latest `most_ended` that have, and whether more have.

    A run is its folder, with the values of its run.json.
    """
    runs, room, has_more = dict[Path, dict[str, Any]](), most_ended, False
    for folder in registered_folders(history):
        ended = has_final_status(folder)
        if ended and not room:
            has_more = True
        elif (facts := read_run_facts(folder)).get("kind") == kind:
            runs[folder] = facts
            room -= ended
    return runs, has_more


def find_folders(history: Path, kind: str, run: str | None) -> list[Path]:
    """Return the runs of a kind whose id is, or begins with, `run`, the latest first; for None the latest run.

    A path of a run's folder finds that run, registered or not.  Raises InputError with the nearest ids.
    """
    if run is not None and "/" in run:
        if file_exists(Path(run) / RUN_FILE):
            return [Path(run).absolute()]
        why = (
            f"not the folder of a run: it has no {RUN_FILE}"
            if file_exists(Path(run))
            else "no such file or folder"
        )
        raise InputError(f"{run}: {why}")
    folders = {folder.name: folder for folder in registered_folders(history)}

    def is_of_kind(name: str) -> bool:
        return read_run_facts(folders[name]).get("kind") == kind

    if run is not None:
        names = [run] if run in folders else [name for name in folders if name.startswith(run)]
        kinds = {name: read_run_facts(folders[name]).get("kind") for name in names}
        if matches := [folders[name] for name in names if kinds[name] == kind]:
            return matches
        if other := next((name for name in names if kinds[name]), None):  # otherwise its folder is gone
            shown = f"`clusterplan history show {other}`"
            raise InputError(f"{other} was not submitted, so only {shown} and `report` tell of it")
    latest = next(filter(is_of_kind, folders), None)
    if latest is None:
        raise InputError("there are no runs yet: `clusterplan submit JOB.toml` makes one")
    if run is None:
        return [folders[latest]]
    raise InputError(
        f"run {run!r} is not known; {name_nearest(filter(is_of_kind, find_similar(run, folders)))}"
    )


def find_similar(run: str, ids: Iterable[str]) -> list[str]:
    """Return the ids that begin much like `run`, the nearest first.

    >>> find_similar("traim", ["train-20261128T101500-0a1b", "net-20261128T101500-0a1b"])
    ['train-20261128T101500-0a1b']
    """
    by_beginning = defaultdict[str, list[str]](list)
    for each in ids:
        by_beginning[each[: len(run)]].append(each)
    similar = difflib.get_close_matches(run, by_beginning, n=_MAX_CANDIDATES)
    return [each for beginning in similar for each in by_beginning[beginning]]


def name_nearest(similar: Iterable[str]) -> str:
    """Return the words that name the nearest ids.

    >>> name_nearest(["a-1", "a-2"]), name_nearest([])
    ('the nearest are a-1, a-2', 'no run has a name like it: `clusterplan history list` shows all')
    """
    nearest = list(islice(similar, _MAX_SUGGESTIONS))
    if not nearest:
        return "no run has a name like it: `clusterplan history list` shows all"
    return f"the nearest {'is' if len(nearest) == 1 else 'are'} {join_names(nearest)}"


def read_run_facts(folder: Path) -> dict[str, Any]:
    """Return the values of run.json; none if the folder is gone."""
    return _read_values(folder / RUN_FILE)


def read_partition(folder: Path) -> tuple[str | None, str | None]:
    """Return the partition that a run asked for, and Slurm's name of its GPUs; None if it asked for none, or its folder is gone."""
    request = _read_values(folder / REQUEST_FILE)
    return request.get("partition"), request.get("gres")


def read_request_options(folder: Path) -> dict[str, Any]:
    """Return the options of sbatch that a run asked for beside those that clusterplan sets; none if its folder is gone."""
    try:
        return dict(_read_values(folder / REQUEST_FILE).get("further") or {})
    except (TypeError, ValueError):
        return {}


def _read_values(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _stamp(run: str) -> str:
    match = _BEGAN.search(run)
    return match[1] if match else ""
