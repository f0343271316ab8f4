"""Processes that an earlier start of a run left on this node, by the environment that they were started with.

A guard that is killed takes its command with it only where the site tracks processes by cgroups, or where the command is
one process.  The training behind `| tee` lives on then, and would write checkpoints beside those of the next start.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from ...run_folder.task_records import TaskRecord, is_process_alive, process_birth, read_task_records
from ..ranks import read_task

_PROC = Path("/proc")
_POLL_S = 0.1
_END_S = 10.0  # for killed processes to end; a driver may keep one for ever


def end_leftovers(folder: Path, record: TaskRecord) -> None:
    """Kill the processes that earlier starts of a run left on this node; wait until they have ended.

    `record` is of a task of the start that begins here.  A start whose guard still lives is left to that: it stands back.
    Only processes of this user are seen, and only where there is a /proc.
    """
    guarded = [task.attempt for task in read_task_records(folder) if is_process_alive(task)]
    attempts = {str(attempt) for attempt in (*guarded, record.attempt)}
    deadline_s = time.monotonic() + _END_S
    while (pids := _read_leftovers(folder, attempts)) and time.monotonic() < deadline_s:
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def _read_leftovers(folder: Path, but: set[str]) -> list[int]:
    """Return the living processes of the run in `folder` that belong to other attempts than `but`."""
    pids = list[int]()
    for path in _PROC.glob("[0-9]*/environ"):
        with suppress(OSError):
            attempt = find_attempt(path.read_bytes(), folder)
            pid = int(path.parent.name)
            if attempt and attempt not in but and process_birth(pid):
                pids.append(pid)
    return pids


def find_attempt(environ: bytes, folder: Path) -> str | None:
    """Return the attempt of the run in `folder` that a process with this environment belongs to, None if to none.

    A job that the training submits has the variables of the run too, for sbatch hands them on: it goes on without it.
    A training from which Slurm's variables were taken is still of the run.

    >>> variables = b"CLUSTERPLAN_RUN_FOLDER=/runs/a\\0CLUSTERPLAN_ATTEMPT=7.0\\0SLURM_JOB_ID="
    >>> find_attempt(variables + b"7", Path("/runs/a"))
    '7.0'
    >>> find_attempt(variables + b"8", Path("/runs/a"))
    >>> find_attempt(variables.removesuffix(b"SLURM_JOB_ID="), Path("/runs/a"))
    '7.0'
    """
    pairs = (os.fsdecode(pair).partition("=") for pair in environ.split(b"\0"))
    variables = {name: value for name, _, value in pairs}
    if variables.get("CLUSTERPLAN_RUN_FOLDER") != str(folder):
        return None
    attempt = variables.get("CLUSTERPLAN_ATTEMPT", "")
    is_of_other_job = "SLURM_JOB_ID" in variables and read_task(variables).job != attempt.rpartition(".")[0]
    return None if is_of_other_job else attempt
