"""The logs of a run: find them, and watch them while it runs."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, UnreadableFile
from ..estimator.job.framework import Bootstrap
from ..launcher.run_folder.final_status import read_final_status
from ..launcher.run_folder.folder import LOGS, SUBMITIT, file_exists, history_path
from ..launcher.run_folder.launch import Launch
from ..launcher.run_folder.registry import find_folders
from ..launcher.runs.run_status import RunStatus
from ..launcher.runs.state import State
from ..launcher.runs.status import read_status
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


def log_of_rank(folder: Path, rank: int) -> int:
    """Return the number of the log that has what a rank printed: with torchrun there is one log per node."""
    with suppress(UnreadableFile):
        launch = Launch.read(folder)
        if launch.bootstrap is Bootstrap.TORCHRUN:
            return rank // launch.gpus_per_node
    return rank


def check_rank(folder: Path, rank: int) -> None:
    """Raise InputError if the run has no such rank."""
    with suppress(UnreadableFile):
        ranks = Launch.read(folder).gpus
        if rank >= max(ranks, 1):
            has = f"ranks 0 to {ranks - 1}" if ranks > 1 else "rank 0 only"
            raise InputError(f"--rank {rank}: {folder.name} has {has}")


def find_failed_log(status: RunStatus) -> tuple[int, str] | None:
    """Return the number of the log that shows the first failure of a run, and words for whose it is; None if none does."""
    failure = status.state.failure
    if failure is None or find_log(status.folder, failure.log) is None:
        return None
    return failure.log, f"rank {failure.rank}" if failure.rank is not None else f"task {failure.log}"


def find_logs(folder: Path) -> list[Path]:
    """Return the logs of all tasks of a run that have printed something, by number."""
    logs = [path for path in (folder / LOGS).glob("*.log") if path.stem.isdecimal() and _has_text(path)]
    return sorted(logs, key=lambda path: int(path.stem))


def find_log(folder: Path, rank: int = 0) -> Path | None:
    """Return the log of a task; where its command never started, the log that says why; None before both."""
    task_log = folder / LOGS / f"{rank}.log"
    if file_exists(task_log):
        return task_log if _has_text(task_log) else None
    others = filter(_has_text, (folder / SUBMITIT).glob(f"*_{rank}_log.err"))
    return max(others, key=lambda path: path.lstat().st_mtime, default=None)


def _has_text(path: Path) -> bool:
    """Return whether a log is a file with something in it."""
    try:
        facts = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_size > 0


def watch(folder: Path, rank: int = 0) -> Iterator[Look]:
    """Look at a run every 0.3 s, until it has ended.  Its status is read every 5 s, when it starts and when it ends."""
    log: Path | None = None
    status, utilisation, read_at_s = None, None, float("-inf")
    while True:
        ended = read_final_status(folder) is not None
        if status is None or ended or time.monotonic() - read_at_s > _ASK_S:
            read_at_s = time.monotonic()
            status = read_status(folder)
            ended = status.state.final
            utilisation = recent_utilisation(folder) if status.state.state is State.RUNNING else None
        before, log = log, find_log(folder, rank)
        if log and not before:
            read_at_s = float("-inf")  # it waits no longer
        yield Look(status, ended, log, utilisation)
        if ended:
            return
        time.sleep(_LOOK_S)
