"""What each attempt of a run said of itself: a small file a task, replaced in one step.

    attempts/<job>.<restart>.<rank>.json   one task of one start of the job
    submitit/<job>.<restart>.exit          the exit code of all tasks together, by the job's own shell

The shell outlives its tasks, so its file is there even when they were killed and could say nothing.
"""

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from .folder import SUBMITIT, write_json

ATTEMPTS = "attempts"


@dataclass(frozen=True)
class TaskRecord:
    """One task of one start of a run's job.  Times are Unix seconds; None is not known, or not yet.

    `state` is waiting (for GPUs of this machine), running, stopping or ended; `outcome` completed, failed or stopped.
    """

    job: str
    restart: int
    rank: int
    ranks: int
    node: str
    host: str
    pid: int
    born: str  # the process's start in clock ticks, so that a reused pid is not taken for it
    began_s: float
    beat_s: float
    state: str = "running"
    resumed_step: int | None = None
    saved_step: int | None = None
    why: str | None = None  # it stopped: restart.Stop
    slurm_state: str | None = None  # what Slurm said then
    outcome: str | None = None
    exit_code: int | None = None
    error: str | None = None  # the last words of a failed command
    restarting: bool = False
    reason: str | None = None  # of a restart, or of none
    ended_s: float | None = None

    @property
    def file_name(self) -> str:
        """Its own file in `attempts/`."""
        return f"{self.job}.{self.restart}.{self.rank}.json"


class TaskFile:
    """This task's file; what cannot be written is left out, and the training goes on."""

    def __init__(self, folder: Path, first: TaskRecord) -> None:
        self._folder = folder / ATTEMPTS
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self.now = first
        self.put()

    def put(self, **changed: Any) -> TaskRecord:
        """Replace these values, and the file."""
        self.now = replace(self.now, beat_s=time.time(), **changed)
        path = self._folder / self.now.file_name
        try:
            write_json(path, asdict(self.now))
        except OSError:
            with suppress(OSError):  # on a full disk there may be room where the old content is
                _overwrite(path, json.dumps(asdict(self.now)).encode())
        return self.now


def _overwrite(path: Path, data: bytes) -> None:
    """In place: a reader may see a part, and waits for the next."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(file, os.write(file, data))
    finally:
        os.close(file)


def read_attempts(folder: Path) -> list[TaskRecord]:
    """The attempts of a run, in the order they began."""
    names = [path.name for path in (folder / ATTEMPTS).glob("*.json")]
    found = [attempt for name in names if (attempt := read_attempt(folder, name))]
    return sorted(found, key=lambda a: (a.began_s, a.restart, a.rank))


def read_attempt(folder: Path, file_name: str) -> TaskRecord | None:
    """One of them; None where it is not there, is being replaced, or is of a disk that was full."""
    try:
        values: Mapping[str, Any] = json.loads((folder / ATTEMPTS / file_name).read_text(encoding="utf-8"))
        known = {field.name for field in fields(TaskRecord)}
        return TaskRecord(**{name: value for name, value in values.items() if name in known})
    except (OSError, ValueError, TypeError):
        return None


def exit_codes(folder: Path) -> dict[tuple[str, int], int]:
    """(job, restart) to the exit code its shell saw."""
    found = {}
    for path in (folder / SUBMITIT).glob("*.exit"):
        job, _, restart = path.stem.rpartition(".")
        try:
            found[job, int(restart)] = int(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return found


def starts(attempts: Iterable[TaskRecord]) -> list[TaskRecord]:
    """The first task of every start, in order: it speaks for the run."""
    return [attempt for attempt in attempts if attempt.rank == 0]


def process_alive(attempt: TaskRecord) -> bool | None:
    """Whether its process is there; None where another machine would have to say."""
    if attempt.host != socket.gethostname():
        return None
    return process_birth(attempt.pid) == attempt.born


def process_birth(pid: int) -> str:
    """When a process began, in the kernel's clock ticks; empty if there is none of that number.

    >>> import os
    >>> process_birth(os.getpid()) != ""
    True
    """
    try:
        fields_ = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return "alive" if not Path("/proc/self").exists() and _answers(pid) else ""
    return "" if fields_[0] == "Z" else fields_[19]


def _answers(pid: int) -> bool:
    """Where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
