"""The state of runs: gather what there is to know, and write down what will not change any more."""

import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import RunFolderError, SlurmRefused, SlurmUnavailable
from ..run_folder.cancel_request import cancel_requested_s, withdraw_cancel_request, write_cancel_request
from ..run_folder.checkpoints import find_newest_checkpoint
from ..run_folder.final_status import LOST, has_final_status, read_final_status, write_final_status
from ..run_folder.folder import SUBMITIT
from ..run_folder.job_log import SubmittedJob, read_jobs
from ..run_folder.launch import Launch
from ..run_folder.log_errors import find_error_line, read_tail
from ..run_folder.progress import Progress, estimate_progress, read_first_and_latest
from ..run_folder.registry import read_run_facts, registered_folders
from ..run_folder.task_records import (
    first_tasks,
    is_process_alive,
    process_birth,
    read_exit_codes,
    read_task_records,
)
from ..sampler.spool import SUFFIX
from ..slurm import client as slurm
from ..slurm.jobs import PREEMPTED, JobFacts
from .state import OPEN_STATES, Evidence, RunState, State, judge_state


@dataclass(frozen=True)
class RunStatus:
    """A run as `clusterplan status` shows it; None is not known."""

    run: str
    folder: Path
    state: RunState
    job: str | None
    restarts: int
    progress: Progress | None
    preemptions: int = 0  # of the starts, as far as Slurm said so
    sweep: Mapping[str, str] = field(
        default_factory=dict
    )  # what sets this run apart from the others of a sweep


def read_statuses(folders: Sequence[Path]) -> list[RunStatus]:
    """The status of each run, with one question to Slurm for all of them.

    A state that is final is written into its folder: Slurm forgets in minutes.  A run that was given up as lost may
    still be heard of: it is looked at again.
    """
    finals = {folder: _known_end(folder) for folder in folders}
    jobs = {folder: read_jobs(folder) for folder in folders}
    asked = [f for f in folders if finals[f] is None and jobs[f] and jobs[f][-1].executor == "slurm"]
    try:
        queue, answers = ({job.job_id: job for job in slurm.read_queue()} if asked else {}), True
    except (SlurmRefused, SlurmUnavailable):
        queue, answers = {}, False
    here = _cluster() if asked and answers else None
    elsewhere = {
        f: job.cluster for f in asked for job in jobs[f][-1:] if here and job.cluster not in (None, here)
    }
    newest = {f: jobs[f][-1].job for f in asked if f not in elsewhere}  # another cluster has the same numbers
    missing = [job for job in newest.values() if job not in queue] if answers else []
    accounted = _accounted(missing) if missing else {}
    found = []
    for folder in folders:
        attempts, run = read_task_records(folder), read_run_facts(folder)
        evidence = Evidence(
            final=finals[folder],
            jobs=jobs[folder],
            attempts=attempts,
            exits=read_exit_codes(folder),
            slurm=queue.get(newest.get(folder, "")),
            slurm_answers=answers,
            accounted=accounted.get(newest.get(folder, "")),
            elsewhere=elsewhere.get(folder),
            alive=is_process_alive(attempts[-1]) if attempts else None,
            cancelled_s=cancel_requested_s(folder),
            began_s=float(run.get("began_s") or 0),
            killed_words=None if finals[folder] else _killed_words(folder, jobs[folder][-1:]),
        )
        state = judge_state(evidence, time.time())
        if state.final and finals[folder] is None and jobs[folder]:
            write_final_status(
                folder, state.state, state.exit_code, state.reason or None, ended_s=state.known_at
            )
        found.append(
            RunStatus(
                run=folder.name,
                folder=folder,
                state=state,
                job=jobs[folder][-1].job if jobs[folder] else None,
                restarts=max(len(first_tasks(attempts)) - 1, 0),
                progress=_progress(folder, run.get("steps")),
                preemptions=sum(start.slurm_state == PREEMPTED for start in first_tasks(attempts)),
                sweep=run.get("sweep") or {},
            )
        )
    return found


def _known_end(folder: Path) -> dict[str, Any] | None:
    final = read_final_status(folder)
    return final if final and final["state"] != LOST else None


def _cluster() -> str | None:
    """The name of the Slurm that answers here."""
    with suppress(SlurmRefused, SlurmUnavailable):
        return slurm.read_settings().cluster or None
    return None


def _accounted(jobs: Sequence[str]) -> "Mapping[str, JobFacts]":
    with suppress(SlurmRefused, SlurmUnavailable):
        return slurm.read_accounting(jobs) or {}
    return {}


def settle_open_runs(history: Path) -> None:
    """Write down the ends of runs of this history that nobody has told of yet."""
    open_ = {
        folder: read_run_facts(folder)
        for folder in registered_folders(history)
        if not has_final_status(folder)
    }
    submitted = [folder for folder, run in open_.items() if run.get("kind") == "submit"]
    if submitted:
        read_statuses(submitted)
    for folder, run in open_.items():
        if run.get("kind") == "sample":
            _settle_sampled(folder, run)


def _settle_sampled(folder: Path, run: Mapping[str, Any]) -> None:
    """Write down the end of a run of `clusterplan sample` whose process is gone; its host alone can tell."""
    if run.get("host") != socket.gethostname() or not isinstance(run.get("pid"), int):
        return
    if process_birth(run["pid"]) != run.get("birth") and not has_final_status(folder):
        last = max((path.stat().st_mtime for path in folder.glob(f"*{SUFFIX}")), default=None)
        write_final_status(
            folder, State.FAILED, None, "its process was killed, and could say nothing", ended_s=last
        )


def cancel_runs(folders: Sequence[Path]) -> list[RunStatus]:
    """Ask runs to stop, for good; what they were before that.  Raises SlurmUnavailable, SlurmRefused."""
    found = read_statuses(folders)
    going = [s.folder for s in found if s.state.state in OPEN_STATES]
    for folder in going:
        write_cancel_request(folder)  # first: a job that begins, or that is saving, looks for it
    jobs = {folder: job for folder in going for job in read_jobs(folder)[-1:]}  # none while it is submitted
    queued = {folder: job.job for folder, job in jobs.items() if job.executor == "slurm"}
    try:
        slurm.cancel(*queued.values())
    except (SlurmRefused, SlurmUnavailable):
        for folder in queued:
            withdraw_cancel_request(folder)
        raise
    for folder in jobs.keys() - queued.keys():
        for attempt in read_task_records(folder)[-1:]:
            if is_process_alive(attempt):
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(attempt.pid, signal.SIGTERM)
    return found


def _killed_words(folder: Path, newest: Sequence[SubmittedJob]) -> str | None:
    """What Slurm's daemon wrote beside the tasks when it killed one, such as its out-of-memory handler."""
    logs = [path for job in newest for path in (folder / SUBMITIT).glob(f"{job.job}_*_log.err")]
    return (
        find_error_line(read_tail(max(logs, key=lambda path: path.stat().st_mtime), 8192)) if logs else None
    )


def _progress(folder: Path, total: int | None) -> Progress | None:
    """What `track` wrote; without it, the newest checkpoint is all that is known."""
    try:
        if told := estimate_progress(read_first_and_latest(folder), total):
            return told
        output = Launch.read(folder).output
        saved = find_newest_checkpoint(Path(output)) if output else None
        return Progress(saved.step, total, None, None, None) if saved else None
    except (OSError, ValueError, RunFolderError):
        return None
