"""A run's row in the history, from the files that tell which run it is."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ...run_folder.folder import TASKS
from ..run_files import RunFiles
from .attempts import sum_attempts
from .software import software_of

SUBMITTED = "submit"
_RUN_FACTS = ("kind", "name", "model", "host", "user", "began_s")


def run_row(run: RunFiles) -> dict[str, Any]:
    """Return the columns of a run but for its state and its end."""
    software, attempts = software_of(run.facts), sum_attempts(run.tasks)
    return {
        "run": run.folder.name,
        **{key: run.facts.get(key) for key in _RUN_FACTS},
        "started_s": _started_s(run),
        "command": json.dumps(run.facts.get("command") or []),
        "folder": str(run.folder),
        "steps_planned": run.facts.get("steps"),
        "git_commit": software.commit,
        "package_list": digest(software.packages) if software.packages else None,
        **(asdict(attempts) if attempts else {}),
    }


def digest(packages: Sequence[str]) -> str:
    """Return the name of a list of packages."""
    return hashlib.sha256("\n".join(packages).encode(errors="replace")).hexdigest()[:16]


def open_state(run: RunFiles) -> str:
    """Return the state of a run that has not ended."""
    is_submitted = run.facts.get("kind") == SUBMITTED
    started = not is_submitted or any((run.folder / TASKS).glob("*.json"))  # be they damaged
    return "running" if started else "pending"


def _started_s(run: RunFiles) -> float | None:
    """Return when the first attempt began; a run that was not submitted waits in no queue."""
    if run.facts.get("kind") != SUBMITTED and not run.tasks:
        return run.facts.get("began_s")
    return min((task.began_s for task in run.tasks if task.state != "waiting"), default=None)
