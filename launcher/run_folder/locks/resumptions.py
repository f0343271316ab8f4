"""How a person took an ended run up again: `resume.<n>.json`, a file per time.

Its number is its lock: of several that resume a run at once, one makes the next file.  It is made before anything
changes, so after a crash the run is either as it was, or has the later job that makes its final status void.
"""

import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ....cluster_profiles.units import format_duration
from ....errors import InputError
from ..folder import json_text, write_json, write_text
from ..job_log import read_jobs
from ..records.files import read_record
from ..records.values import Count, Seconds
from ..task_records import TaskRecord, process_birth

_NAME = re.compile(r"resume\.(\d{1,9})\.json")
_LONGEST_S = 300.0  # for a submission on a machine whose processes cannot be seen from here


@dataclass(frozen=True)
class Resumption:
    """One time that a run was resumed.

    `jobs` are the run's jobs before it, and `step` and `checkpoint` what it goes on from, None for its beginning.
    `run` is the run that goes on: another one if the training changed.  `job` is its job, None before it is submitted.
    """

    number: Count
    time_s: Seconds
    host: str
    pid: Count
    birth: str
    jobs: tuple[str, ...]
    step: Count | None = None
    checkpoint: str | None = None
    run: str | None = None
    job: str | None = None


def next_resumption(folder: Path) -> int:
    """Return the number of the next resumption of a run; read it before its state.  Raises InputError if one is under way."""
    latest = _read_latest(folder)
    if latest is None:
        return 1
    age_s = time.time() - latest.time_s
    if latest.job is None and _may_be_alive(latest, age_s):
        raise InputError(
            f"{folder.name} is being resumed by process {latest.pid} on {latest.host} since "
            f"{format_duration(max(age_s, 0))}: `clusterplan status {folder.name}` shows how it goes on"
        )
    return latest.number + 1


def begin_resumption(folder: Path, number: int, step: int | None, checkpoint: str | None) -> Resumption:
    """Write that a run is resumed, as its `number`th time.  Raises InputError if another process was first, and OSError."""
    pid = os.getpid()
    resumption = Resumption(
        number=number,
        time_s=time.time(),
        host=socket.gethostname(),
        pid=pid,
        birth=process_birth(pid),
        jobs=tuple(dict.fromkeys(entry.job for entry in read_jobs(folder))),
        step=step,
        checkpoint=checkpoint,
    )
    draft = folder / f".resume.{pid}"
    write_text(draft, json_text(asdict(resumption)), durable=True)
    try:
        os.link(draft, _path(folder, number))
    except FileExistsError:
        raise InputError(
            f"{folder.name} has just been resumed by somebody else: `clusterplan status {folder.name}` shows it"
        ) from None
    finally:
        draft.unlink()
    return resumption


def finish_resumption(folder: Path, resumption: Resumption, run: str, job: str) -> None:
    """Write which run goes on, and its job.  Raises OSError."""
    write_json(_path(folder, resumption.number), asdict(replace(resumption, run=run, job=job)))


def withdraw_resumption(folder: Path, resumption: Resumption) -> None:
    """Remove a resumption of which nothing came."""
    _path(folder, resumption.number).unlink(missing_ok=True)


def since_resumption(folder: Path, tasks: Sequence[TaskRecord]) -> list[TaskRecord]:
    """Return the tasks of the run's jobs since a person resumed it last; all of them if nobody has."""
    latest = _read_latest(folder)
    return [task for task in tasks if latest is None or task.job not in latest.jobs]


def read_successor(folder: Path) -> str | None:
    """Return the run that goes on from this one, because its training was changed; None if none does."""
    latest = _read_latest(folder)
    return latest.run if latest and latest.run not in (None, folder.name) else None


def _read_latest(folder: Path) -> Resumption | None:
    numbers = [int(name[1]) for path in folder.glob("resume.*.json") if (name := _NAME.fullmatch(path.name))]
    return read_record(Resumption, _path(folder, max(numbers))) if numbers else None


def _path(folder: Path, number: int) -> Path:
    return folder / f"resume.{number}.json"


def _may_be_alive(resumption: Resumption, age_s: float) -> bool:
    if resumption.host == socket.gethostname():
        return process_birth(resumption.pid) == resumption.birth
    return age_s < _LONGEST_S
