"""The files that the shells of jobs leave in `submitit/`: exit codes, and what ended a job.

The runs of an array share that folder, so it is listed once for all of them.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from ...cluster_profiles.files.bounded_file import read_text
from ...errors import UnreadableFile
from .folder import SUBMITIT
from .task_records import Attempt

_EXIT, _LOG = ".exit", "_log.err"
_EXIT_BYTES = 64
_Names = dict[str, list[str]]  # by the id of a job


class JobFiles:
    """The files of the jobs of runs, each folder listed when it is first asked for."""

    def __init__(self) -> None:
        self._names: dict[str, _Names] = {}

    def read_exit_codes(self, folder: Path, jobs: Iterable[str]) -> dict[Attempt, int]:
        """Return the exit code of each attempt of these jobs of a run whose shell wrote one."""
        codes = {}
        for path in (path for job in jobs for path in self._paths(folder, job) if path.suffix == _EXIT):
            job, _, restart = path.stem.rpartition(".")
            try:
                codes[Attempt(job, int(restart))] = int(read_text(path, _EXIT_BYTES))
            except (OSError, ValueError, UnreadableFile):  # a job that is killed may tear it
                continue
        return codes

    def newest_log(self, folder: Path, job: str) -> Path | None:
        """Return the newest file that slurmd and the shell of a job of a run wrote their errors into; None without one."""
        logs = [path for path in self._paths(folder, job) if path.name.endswith(_LOG)]
        return max(logs, key=lambda path: path.lstat().st_mtime, default=None)

    def _paths(self, folder: Path, job: str) -> list[Path]:
        where = _where(f"{folder}/{SUBMITIT}")
        if where not in self._names:
            self._names[where] = _list_by_job(where)
        return [Path(where, name) for name in self._names[where].get(job, ())]


def _where(path: str) -> str:
    """Where `submitit/` of a run is: its own, or that of the first run of its array, to which it is a link."""
    try:
        return os.readlink(path)  # noqa: PTH115  a path for each is slow
    except OSError:
        return path


def _list_by_job(folder: str) -> _Names:
    names: _Names = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(_EXIT):  # <job>.<restart>.exit
                    job = entry.name.removesuffix(_EXIT).rpartition(".")[0]
                elif entry.name.endswith(_LOG):  # <job>_<task>_log.err
                    job = entry.name.removesuffix(_LOG).rpartition("_")[0]
                else:
                    continue
                names.setdefault(job, []).append(entry.name)
    except OSError:  # a run on this machine, or one whose folder is gone
        return {}
    return names
