"""The folder of one run on shared storage: its name, its link in the list of runs, and how its files are written.

A run id is `<name>-<UTC yyyymmddThhmmss>-<4 hex>`.  The process that makes the folder owns the id.  A link with the
id as its name, in `history.runs/` beside the history file, lets every command find the run from any directory.
"""

import json
import os
import re
import shutil
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...cluster_profiles.configuration import find_group, read_configuration
from ...cluster_profiles.modes import give_to_group, make_folder, open_file, user_name
from ...errors import InputError, RunFolderError

RUN_FORMAT = 1
RUN_FILE, STATUS_FILE, JOBS_FILE = "run.json", "status.json", "jobs.jsonl"
JOB_FILE, REQUEST_FILE, ESTIMATE_FILE = "job.json", "request.json", "estimate.json"
DEEPSPEED_FILE, DIFF_FILE = "deepspeed.json", "git.diff"
LOGS, SUBMITIT, TASKS = "logs", "submitit", "tasks"
BEGAN = "began"  # ends the name of a file in SUBMITIT: the first task of a start can speak for itself
_MAX_NAME_LENGTH = 60
_MAX_NAME_BYTES = 120  # a file's name has at most 255, with the time and what is written beside it
_MAX_TRIES = 100
_GROUP_READS = 0o2750
_LINKS_OF_GROUP = (
    0o3770  # sticky: who may add a run to the list may not put another in the place of somebody's
)


def runs_root(environment: Mapping[str, str]) -> Path:
    """Return where run folders are made: `$CLUSTERPLAN_RUNS`, else `runs` of the settings, else `runs/` in the working folder."""
    path = environment.get("CLUSTERPLAN_RUNS") or read_configuration(environment).text("runs")
    return Path(path or "runs").absolute()


def history_path(environment: Mapping[str, str]) -> Path:
    """Return the history file: `$CLUSTERPLAN_HISTORY`, else that of the settings, else one in the user's data folder."""
    path = environment.get("CLUSTERPLAN_HISTORY") or read_configuration(environment).text("history")
    if path:
        return Path(path).absolute()
    import platformdirs  # noqa: PLC0415  platformdirs, where the variable is set, and on nodes

    return platformdirs.user_data_path("clusterplan") / "history.db"


def slug(name: str) -> str:
    """Return a name as a run id holds it: letters and digits of any script, dots, underscores and dashes.

    >>> slug("phi2 / pretrain"), slug("训练 nº 1")
    ('phi2-pretrain', '训练-nº-1')
    """
    letters = unicodedata.normalize("NFC", name)
    kept = "".join(c if c.isalnum() or c in "._" or unicodedata.combining(c) else "-" for c in letters)
    short = re.sub("-+", "-", kept).strip("-.")[:_MAX_NAME_LENGTH]
    while len(short.encode()) > _MAX_NAME_BYTES:
        short = short[:-1]
    return short.rstrip("-.") or "run"


def create_run_folder(
    name: str, root: Path, now: datetime, facts: Mapping[str, Any], group: int | None = None
) -> Path:
    """Make a new run's folder, with `facts` and the user's name in its run.json; return it.  Raises RunFolderError.

    Its mode is 0700; with a `group`, which shares the history, its members may read it.
    """
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%S}"
    if not _is_text(root):
        raise RunFolderError(
            f"{root}: the history cannot keep this path, which is no UTF-8 text: set CLUSTERPLAN_RUNS to another folder"
        )
    try:
        make_folder(root, group, _GROUP_READS)
        for _ in range(_MAX_TRIES):
            folder = root / f"{slug(name)}-{stamp}-{os.urandom(2).hex()}"
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            try:
                if group is not None:
                    give_to_group(folder, group, _GROUP_READS)
                write_new_text(
                    folder / RUN_FILE,
                    json_text(
                        {
                            "format": RUN_FORMAT,
                            "run": folder.name,
                            "name": _printable(name),
                            "user": user_name(),
                            **facts,
                        }
                    ),
                )
            except OSError:
                folder.rmdir()
                raise
            return folder
    except OSError as error:
        raise RunFolderError(f"{root}: a run folder cannot be made: {error.strerror}") from None
    raise RunFolderError(f"{root}: every run id tried for {name!r} at {stamp} is taken: try again")


def _is_text(path: Path) -> bool:
    """Return whether a path can be written as UTF-8, as the history and JSON are."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_own_run(folder: Path, verb: str) -> None:
    """Raise InputError if the run in `folder` is another user's, who alone may `verb` it."""
    if not is_own_run(folder):
        owner = user_name(folder.stat().st_uid)
        raise InputError(f"{folder.name} is a run of {owner}, who alone can {verb} it")


def is_own_run(folder: Path) -> bool:
    """Return whether the run in `folder` is this user's, who alone writes there."""
    return folder.stat().st_uid == os.geteuid()


def _printable(name: str) -> str:
    return name.encode(errors="replace").decode()  # a name may hold bytes that are not UTF-8


def links_folder(history: Path) -> Path:
    """Return the folder of the links to a history's runs: `history.runs/` beside history.db."""
    return history.with_suffix(".runs")


def register_run(folder: Path, history: Path) -> None:
    """Link the run's id to its folder, so that every command finds it.  Raises RunFolderError."""
    links = links_folder(history)
    try:
        if not links.is_dir():
            make_folder(links, find_group(history), _LINKS_OF_GROUP)
        (links / folder.name).symlink_to(folder)
    except OSError as error:
        raise RunFolderError(
            f"{links}: the run cannot be registered: {error.strerror}; `clusterplan status {folder}` shows it"
        ) from None


def file_exists(path: Path) -> bool:
    """Return whether a file exists; False on a disk that does not answer, or in a folder that may not be read."""
    return os.path.exists(path)  # noqa: PTH110  Path.exists raises for those


def discard_run(folder: Path, history: Path) -> None:
    """Remove the folder and the link of a run that was never submitted."""
    (links_folder(history) / folder.name).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def json_text(values: Mapping[str, Any]) -> str:
    """Return values as the JSON text of a run folder's files, a line per key.

    >>> print(json_text({"run": "net-1", "shape": {"gpus": 4}}))
    {
      "run": "net-1",
      "shape": {"gpus": 4}
    }
    """
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replace a file in one step and sync it to the disk: a reader sees the old content or the new.

    Raises OSError.
    """
    write_text(path, json_text(values), durable=True)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace a file in one step; `durable` also syncs it to the disk.

    Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        _write(draft, text, durable=durable)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None  # a full disk names no file


def write_new_text(path: Path, text: str) -> None:
    """Write a file of a new run, which nobody reads before its job is queued: no draft is needed.  Raises OSError."""
    try:
        _write(path, text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def link_file(path: Path, copy: Path, text: str) -> None:
    """Let `copy` be the file at `path`, whose text is `text`, or another one where links cannot be made.  Raises OSError.

    Files of run folders are replaced, never written over, so each copy can change alone.
    """
    try:
        os.link(path, copy)
    except OSError:  # FAT, some network disks, or a file with too many links
        write_new_text(copy, text)


def _write(path: Path, text: str, *, durable: bool = False) -> None:
    with os.fdopen(open_file(path, os.O_EXCL), "wb") as file:
        file.write(text.encode())
        if durable:
            file.flush()
            os.fsync(file.fileno())
