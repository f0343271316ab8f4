"""Every run that is registered beside the history, found by a part of its id."""

import difflib
import json
from pathlib import Path
from typing import Any

from ..cluster_profiles.units import listed
from ..errors import InputError
from .run_folder import RUN_FILE, links_folder


def folders(history: Path, kind: str | None = None) -> list[Path]:
    """The folders of registered runs that are still there, the latest first; of one kind, if it is given."""
    there = (link.resolve() for link in links_folder(history).glob("*"))
    found = [(facts, folder) for folder in there if (facts := _facts(folder))]
    chosen = [(float(f.get("began_s") or 0), folder) for f, folder in found if kind in (None, f.get("kind"))]
    return [folder for _, folder in sorted(chosen, reverse=True)]


def find_folder(known: list[Path], wanted: str | None) -> Path:
    """The run whose id is or begins with `wanted`, else the latest.  Raises InputError with the nearest ids."""
    if not known:
        raise InputError("there are no runs yet: `clusterplan submit JOB.toml` makes one")
    if wanted is None:
        return known[0]
    found = [f for f in known if f.name == wanted] or [f for f in known if f.name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"run {wanted!r} is ambiguous: say one of {listed(f.name for f in found)}")
    ids = [f.name for f in known]
    nearest = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.3) or ids[:3]
    raise InputError(f"run {wanted!r} is not known; the nearest are {listed(nearest)}")


def _facts(folder: Path) -> dict[str, Any]:
    try:
        values = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
