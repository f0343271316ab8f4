"""One run's folder on shared storage: its name, its place in the list of runs, and its small files.

A run id is `<name>-<UTC yyyymmddThhmmss>-<4 hex>`, claimed by making the folder, which only one can.  A link
of that name in `history.runs/` beside the history file lets every command find every run, from any folder.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...errors import RunFolderError

FORMAT = 1
RUN_FILE, STATUS_FILE, JOBS_FILE = "run.json", "status.json", "jobs.jsonl"
JOB_FILE, REQUEST_FILE, ESTIMATE_FILE = "job.json", "request.json", "estimate.json"
DEEPSPEED_FILE, DIFF_FILE = "deepspeed.json", "git.diff"
LOGS, SUBMITIT = "logs", "submitit"
_LONGEST_NAME = 60
_TRIES = 100


def runs_root(environment: Mapping[str, str]) -> Path:
    """Where run folders are made: `$CLUSTERPLAN_RUNS`, else `runs/` here."""
    return Path(environment.get("CLUSTERPLAN_RUNS") or "runs").absolute()


def history_path(environment: Mapping[str, str]) -> Path:
    """The history file: `$CLUSTERPLAN_HISTORY`, else in the user's data folder."""
    given = environment.get("CLUSTERPLAN_HISTORY")
    if given:
        return Path(given).absolute()
    import platformdirs  # noqa: PLC0415  platformdirs, where the variable is set, and on nodes

    return platformdirs.user_data_path("clusterplan") / "history.db"


def slug(name: str) -> str:
    """A name as it stands in a run id: letters, digits, dots and dashes.

    >>> slug("phi2 / pretrain")
    'phi2-pretrain'
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:_LONGEST_NAME] or "run"


def create_run_folder(name: str, root: Path, now: datetime, facts: Mapping[str, Any]) -> Path:
    """A new run's folder (mode 0700) with `facts` in its run.json.  Raises RunFolderError."""
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%S}"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(_TRIES):
            folder = root / f"{slug(name)}-{stamp}-{os.urandom(2).hex()}"
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            try:
                write_text(
                    folder / RUN_FILE,
                    json_text({"format": FORMAT, "run": folder.name, "name": _shown(name), **facts}),
                )
            except OSError:
                folder.rmdir()
                raise
            return folder
    except OSError as error:
        raise RunFolderError(f"{root}: no run folder can be made: {error.strerror}") from None
    raise RunFolderError(f"{root}: no free run id was found for {name!r} at {stamp}")


def _shown(name: str) -> str:
    return name.encode(errors="replace").decode()  # a file's name need not be text


def links_folder(history: Path) -> Path:
    """Where the runs of a history are linked: `history.runs/` beside history.db."""
    return history.with_suffix(".runs")


def register_run(folder: Path, history: Path) -> None:
    """Let every command find the run by a link of its id.  Raises RunFolderError."""
    links = links_folder(history)
    try:
        links.mkdir(mode=0o700, parents=True, exist_ok=True)
        (links / folder.name).symlink_to(folder)
    except OSError as error:
        raise RunFolderError(f"{links}: the run cannot be registered: {error.strerror}") from None


def file_exists(path: Path) -> bool:
    """Whether a file can be found; one on a disk that does not answer, or in another user's folder, cannot."""
    return os.path.exists(path)  # noqa: PTH110  Path.exists raises for those


def discard_run(folder: Path, history: Path) -> None:
    """Take back a run that was never accepted: its folder and its link."""
    (links_folder(history) / folder.name).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def json_text(values: Mapping[str, Any]) -> str:
    """Values as every file of a run folder has them."""
    return json.dumps(values, indent=2)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replace a file (mode 0600) in one step, and have it on the disk: a reader sees the old content or the new.

    Raises OSError.
    """
    write_text(path, json_text(values), durable=True)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace a file (mode 0600) in one step; one that is not `durable` reaches the disk when the system sees fit.

    Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None  # a full disk names no file
