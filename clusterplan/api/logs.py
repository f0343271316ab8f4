"""The logs of a run: find them, and watch them while it runs."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..cluster_profiles.units import join_names
from ..errors import InputError
from ..launcher.run_folder.final_status import read_final_status
from ..launcher.run_folder.folder import LOGS, SUBMITIT, history_path
from ..launcher.run_folder.registry import find_folders
from ..launcher.runs.state import State
from ..launcher.runs.status import RunStatus, read_statuses
from ..launcher.sampler.recent import recent_utilisation

_LOOK_S = 0.3
_ASK_S = 5.0


@dataclass(frozen=True)
class Look:
    """What is seen of a run at one moment; None is not known."""

    status: RunStatus
    ended: bool
    log: Path | None
    utilisation_percent: float | None


def find_run_folders(beginning: str | None = None) -> list[Path]:
    """Return the folders of submitted runs whose ids begin with `beginning`, the latest first; by default the latest.

    Raises InputError if there is none.
    """
    return find_folders(history_path(os.environ), "submit", beginning)


def find_log(folder: Path, rank: int = 0) -> Path | None:
    """Return the log of a task; where its command never started, the log that says why; None before both."""
    task_log = folder / LOGS / f"{rank}.log"
    if task_log.exists() and task_log.stat().st_size:
        return task_log
    others = [path for path in (folder / SUBMITIT).glob(f"*_{rank}_log.err") if path.stat().st_size]
    return max(others, key=lambda path: path.stat().st_mtime, default=None)


def get_log(folder: Path, rank: int = 0) -> Path:
    """Return the log of a task.  Raises InputError where it has printed nothing, with the tasks that have."""
    if path := find_log(folder, rank):
        return path
    yet = "" if read_statuses([folder])[0].state.final else " yet"
    others = sorted(int(path.stem) for path in (folder / LOGS).glob("*.log") if path.stat().st_size)
    elsewhere = f"; try --rank {join_names(map(str, others))}" if others else ""
    raise InputError(f"{folder.name}: task {rank} has printed nothing{yet}{elsewhere}")


def watch(folder: Path, rank: int = 0) -> Iterator[Look]:
    """Look at a run every 0.3 s, until it has ended.  Its status is read every 5 s, when it starts and when it ends."""
    log: Path | None = None
    status, utilisation, read_at_s = None, None, float("-inf")
    while True:
        ended = read_final_status(folder) is not None
        if status is None or ended or time.monotonic() - read_at_s > _ASK_S:
            read_at_s = time.monotonic()
            status = read_statuses([folder])[0]
            ended = status.state.final
            utilisation = recent_utilisation(folder) if status.state.state is State.RUNNING else None
        before, log = log, find_log(folder, rank)
        if log and not before:
            read_at_s = float("-inf")  # it waits no longer
        yield Look(status, ended, log, utilisation)
        if ended:
            return
        time.sleep(_LOOK_S)
