"""The runs that are registered beside the history, found by the beginning of their ids.

There may be thousands of them on a slow disk: a folder is read only if the run's id does not tell enough.
"""

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ...cluster_profiles.modes import denial
from ...cluster_profiles.units import join_names
from ...errors import HistoryError, InputError, UnreadableFile
from .folder import RUN_FILE, file_exists, links_folder
from .records.run_facts import RunFacts, read_run_facts

_BEGAN = re.compile(r"-(\d{8}T\d{6})-[0-9a-f]{4}$")
_ROOT = 0
_MAX_SUGGESTIONS, _MAX_CANDIDATES = 3, 20


def registered_folders(history: Path) -> list[Path]:
    """Return every registered folder, the latest first by its id; some may no longer exist.

    Raises HistoryError if the list cannot be read.
    """
    links = links_folder(history)
    try:
        with os.scandir(links) as entries:
            links_by_time = [
                (_stamp(entry.name), entry.stat(follow_symlinks=False).st_mtime_ns, Path(entry.path))
                for entry in entries
                if entry.is_symlink() and _is_of_its_owner(entry)
            ]
    except FileNotFoundError:
        return []
    except PermissionError:
        raise HistoryError(f"{links}: {denial(links)}") from None
    except NotADirectoryError:
        raise HistoryError(f"{links}: is no folder, and the runs are listed there: move it away") from None
    except OSError as error:
        raise HistoryError(f"{links}: cannot be read: {error.strerror}") from None
    return [links / link.readlink() for *_, link in sorted(links_by_time, reverse=True)]


def _is_of_its_owner(link: "os.DirEntry[str]") -> bool:
    """Return whether a link leads to a run of the user who made it.

    Another's could have this user's own runs read into a history that others see, under any name.
    """
    maker = link.stat(follow_symlinks=False).st_uid
    if maker in (_ROOT, os.geteuid()):
        return True
    try:
        is_makers = link.stat().st_uid == maker
    except OSError:  # it is gone, or may not be entered
        return True
    return is_makers and Path(link.path).readlink().name == link.name


class ShownRuns(NamedTuple):
    """Runs by their folders, with the values of their run.json; whether others have ended; and the faults of others."""

    runs: Mapping[Path, RunFacts]
    has_more: bool
    faults: Sequence[UnreadableFile]


def runs_to_show(history: Path, kind: str, most_ended: int) -> ShownRuns:
    """Return the runs of a kind that have not ended, and the latest `most_ended` that have."""
    from .final_status import has_final_status  # noqa: PLC0415  how commands fail, where a shell completes an id

    runs, faults, room, has_more = dict[Path, RunFacts](), list[UnreadableFile](), most_ended, False
    for folder in registered_folders(history):
        ended = has_final_status(folder)
        if ended and not room:
            has_more = True
            continue
        try:
            facts = read_run_facts(folder)
        except UnreadableFile as fault:
            faults += [fault] if file_exists(folder) else []
            continue
        if facts.get("kind") == kind:
            runs[folder] = facts
            room -= ended
    return ShownRuns(runs, has_more, faults)


def find_folders(history: Path, kind: str, run: str | None) -> list[Path]:
    """Return the runs of a kind whose id is, or begins with, `run`, the latest first; for None the latest run.

    A path of a run's folder finds that run, registered or not.  Raises InputError with the nearest ids, and UnreadableFile
    for the only run that begins so.
    """
    if run is not None and "/" in run:
        return [_folder_at(run)]
    folders = {folder.name: folder for folder in registered_folders(history)}

    def is_of_kind(name: str) -> bool:
        return _read_kind(folders[name]) == kind

    if run is not None:
        names = [run] if run in folders else [name for name in folders if name.startswith(run)]
        if len(names) == 1 and file_exists(folders[names[0]]):
            kinds = {names[0]: read_run_facts(folders[names[0]]).get("kind")}
        else:
            kinds = {name: _read_kind(folders[name]) for name in names}
        if matches := [folders[name] for name in names if kinds[name] == kind]:
            return matches
        if other := next((name for name in names if kinds[name]), None):  # otherwise its folder is gone
            shown = f"`clusterplan history show {other}`"
            raise InputError(f"{other} was not submitted, so only {shown} and `report` tell of it")
        if names and not file_exists(folders[names[0]]):
            raise InputError(
                f"{folders[names[0]]}: the run's folder is deleted, or on a disk that is not mounted"
            )
    latest = next(filter(is_of_kind, folders), None)
    if latest is None:
        raise InputError("there are no runs yet: `clusterplan submit JOB.toml` makes one")
    if run is None:
        return [folders[latest]]
    raise InputError(
        f"run {run!r} is not known; {name_nearest(filter(is_of_kind, find_similar(run, folders)))}"
    )


def _folder_at(path: str) -> Path:
    if file_exists(Path(path) / RUN_FILE):
        return Path(path).absolute()
    exists = file_exists(Path(path))
    why = f"not the folder of a run: it has no {RUN_FILE}" if exists else "no such file or folder"
    raise InputError(f"{path}: {why}")


def find_unreadable(history: Path, beginning: str) -> list[UnreadableFile]:
    """Return what is wrong with the run.json of runs whose ids begin so: nobody can tell of what kind they are."""
    faults = list[UnreadableFile]()
    for folder in registered_folders(history):
        if folder.name.startswith(beginning) and file_exists(folder):
            try:
                read_run_facts(folder)
            except UnreadableFile as fault:
                faults.append(fault)
    return faults


def _read_kind(folder: Path) -> str | None:
    """Return the kind of a run; None if its folder is gone, or its run.json cannot be read."""
    with suppress(UnreadableFile):
        return read_run_facts(folder).get("kind")
    return None


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


def _stamp(run: str) -> str:
    match = _BEGAN.search(run)
    return match[1] if match else ""
