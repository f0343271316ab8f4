"""Every run that is registered beside the history, found by a part of its id.

There may be thousands, on a slow disk: a folder is looked into only where the run's id does not tell enough.
"""

import difflib
import json
import os
import re
from itertools import islice
from pathlib import Path
from typing import Any

from ...cluster_profiles.units import join_names
from ...errors import InputError
from .final_status import has_final_status
from .folder import REQUEST_FILE, RUN_FILE, links_folder

_BEGAN = re.compile(r"-(\d{8}T\d{6})-[0-9a-f]{4}$")
_NEAREST, _LOOKED_AT = 3, 20


def registered_folders(history: Path) -> list[Path]:
    """Every folder that is registered, the latest first by their ids; some may be gone."""
    links = links_folder(history)
    try:
        with os.scandir(links) as entries:
            found = [
                (_stamp(entry.name), entry.stat(follow_symlinks=False).st_mtime_ns, Path(entry.path))
                for entry in entries
                if entry.is_symlink()
            ]
    except OSError:
        return []
    return [links / link.readlink() for *_, link in sorted(found, reverse=True)]


def folders_to_show(history: Path, kind: str, most_ended: int) -> tuple[list[Path], bool]:
    """The runs of a kind that have not ended, and the latest of those that have; whether some were left out."""
    found, room, left_out = list[Path](), most_ended, False
    for folder in registered_folders(history):
        over = has_final_status(folder)
        if over and not room:
            left_out = True
        elif read_run_facts(folder).get("kind") == kind:
            found.append(folder)
            room -= over
    return found, left_out


def find_folders(history: Path, kind: str, wanted: str | None) -> list[Path]:
    """The runs of a kind whose id is or begins with `wanted`, the latest first; without it the latest alone.

    Raises InputError with the nearest ids.
    """
    known = {folder.name: folder for folder in registered_folders(history)}
    if wanted is not None:
        named = [wanted] if wanted in known else [name for name in known if name.startswith(wanted)]
        kinds = {name: read_run_facts(known[name]).get("kind") for name in named}
        if found := [known[name] for name in named if kinds[name] == kind]:
            return found
        if other := next((name for name in named if kinds[name]), None):  # else its folder is gone
            shown = f"`clusterplan history show {other}`"
            raise InputError(f"{other} was not submitted, so only {shown} and `report` tell of it")
    latest = list(
        islice((name for name in known if read_run_facts(known[name]).get("kind") == kind), _NEAREST)
    )
    if not latest:
        raise InputError("there are no runs yet: `clusterplan submit JOB.toml` makes one")
    if wanted is None:
        return [known[latest[0]]]
    alike = difflib.get_close_matches(wanted, known, n=_LOOKED_AT, cutoff=0.3)
    nearest = [name for name in alike if read_run_facts(known[name]).get("kind") == kind][:_NEAREST]
    raise InputError(f"run {wanted!r} is not known; the nearest are {join_names(nearest or latest)}")


def read_run_facts(folder: Path) -> dict[str, Any]:
    """What run.json says; nothing where the folder is gone."""
    return _values(folder / RUN_FILE)


def read_partition(folder: Path) -> str | None:
    """The partition that a run asked for; None where it asked for none, or the folder is gone."""
    return _values(folder / REQUEST_FILE).get("partition")


def _values(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _stamp(run: str) -> str:
    found = _BEGAN.search(run)
    return found[1] if found else ""
