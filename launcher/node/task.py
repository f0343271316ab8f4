"""One task of a run, from its start to its end: it shields the command, and decides what follows.

Slurm's warning (USR2) and SIGTERM come to this process and not to the command, which only ever gets its own stop
signal and time to save.  Whether the run then starts again is decided from what is on disk.
"""

import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from ...estimator.job.run import Bootstrap
from ..command.launchers import Task, reaches_other_nodes, task_command, task_environment
from ..command.placeholders import LATEST, fill_placeholders
from ..run_folder.cancel_request import cancel_requested_s
from ..run_folder.checkpoints import find_newest_checkpoint
from ..run_folder.final_status import has_final_status, withdraw_lost, write_final_status
from ..run_folder.folder import LOGS
from ..run_folder.job_log import append_missing_job
from ..run_folder.launch import Launch
from ..run_folder.log_errors import read_error_line
from ..run_folder.task_records import TaskFile, TaskRecord, process_birth, read_task_record
from ..sampler.beside import NOT_STARTED, sampler_beside
from .after_attempt import ANSWERED_S, POLL_S, decide_after_attempt, start_again, wait_for
from .gpu_locks import GpuLocks, lock_gpus
from .processes import Children, adopt_orphans, end_orphans
from .ranks import TaskPlace, read_task_place
from .restart_policy import StopCause
from .signals import StopSignals
from .slurm_reason import SlurmdLog, read_slurm_state

BEAT_S = 20.0
_LOOK_S = 2.0  # at another node's file, on the shared disk of all
_TERMINATED = 128 + signal.SIGTERM


def run_task(
    folder: Path, environment: Mapping[str, str], successor: Callable[[Path, str], str | None]
) -> int:
    """Run this task of the run in `folder` to its end; the exit code it should have.

    `successor` queues a job that goes on after this one, where Slurm may not requeue it.
    """
    signals = StopSignals()
    signals.listen()
    withdraw_lost(folder)
    if has_final_status(folder):  # an administrator's requeue of a run that is done
        return 0
    launch, place = Launch.read(folder), read_task_place(environment)
    file = TaskFile(folder, _first(place))
    if place.on_slurm and place.rank == 0:
        append_missing_job(folder, "slurm", place.job, environment.get("SLURM_CLUSTER_NAME"))
    if not place.on_slurm:
        adopt_orphans()
    with lock_gpus(
        launch, environment, lambda: signals.why is not None or cancel_requested_s(folder) is not None
    ) as held:
        # Who cancels says so, then looks for the attempt's process: one of us sees the other.
        if held is None or cancel_requested_s(folder) is not None:
            write_final_status(folder, "cancelled", None, "before it began")
            file.update(state="ended", outcome="stopped", stop_cause=signals.why, ended_s=time.time())
            return 1
        limit_at = time.monotonic() + (
            math.inf if launch.limit_s is None else launch.limit_s - launch.grace_s
        )
        while True:
            words = SlurmdLog(folder, place.job)
            resume = find_newest_checkpoint(_output(launch))
            file.update(
                state="running",
                restart=place.restart,
                resume_step=resume.step if resume else None,
                began_s=time.time(),
            )
            code = _attempt(folder, launch, place, environment, held, file, signals, words, limit_at)
            if not place.on_slurm:
                end_orphans()
            found = decide_after_attempt(folder, launch, file, signals, words, code)
            if place.on_slurm or not (found and found.restart):
                break
            place = replace(place, restart=place.restart + 1)
            file = TaskFile(folder, _first(place))
    if found and found.restart and place.on_slurm:
        start_again(folder, file, signals, successor)
        return 0
    # A task that was only stopped with the others must not fail the job before the first has requeued it.
    return 0 if signals.why is StopCause.TIME_LIMIT and place.rank else code or (1 if signals.why else 0)


def _first(place: TaskPlace) -> TaskRecord:
    now = time.time()
    return TaskRecord(
        job=place.job,
        restart=place.restart,
        rank=place.rank,
        ranks=place.ranks,
        node=place.node,
        host=socket.gethostname(),
        pid=os.getpid(),
        birth=process_birth(os.getpid()),
        began_s=now,
        beat_s=now,
        state="waiting",
    )


def _attempt(
    folder: Path,
    launch: Launch,
    place: TaskPlace,
    environment: Mapping[str, str],
    held: GpuLocks,
    file: TaskFile,
    signals: StopSignals,
    words: SlurmdLog,
    limit_at: float,
) -> int:
    """Run the command once; its exit code, with what happened in the attempt's file."""
    inner = {
        **environment,
        **held.environment,
        **launch.environment,
        "CLUSTERPLAN_RUN_FOLDER": str(folder),
        "CLUSTERPLAN_ATTEMPT": f"{place.job}.{place.restart}",
    }
    sampled = place.local_rank == 0
    with sampler_beside(folder, launch.period_s, inner) if sampled else nullcontext():
        children = Children(whole_group=launch.bootstrap is not Bootstrap.TORCHRUN, files=held.files)
        said = dict[Path, int]()  # what starts before this one left in each log
        try:
            for command, added, log in _commands(folder, launch, place, environment):
                said[log] = log.stat().st_size if log.exists() else 0
                children.start(command, launch.cwd, {**inner, **added}, log)
        except OSError as error:
            children.stop(signal.SIGKILL, 0)
            file.update(outcome="failed", exit_code=NOT_STARTED, error=f"{error.filename}: {error.strerror}")
            return NOT_STARTED
        code = _watched(folder, launch, place, children, file, signals, words, limit_at)
    if place.on_slurm and code == _TERMINATED:  # by a signal to all processes, of which ours may come last
        wait_for(lambda: signals.why, ANSWERED_S)
    if place.on_slurm and signals.why is StopCause.TERMINATED:
        file.update(slurm_state=words.state() or read_slurm_state(place.job, place.restart))
    saved, failed = find_newest_checkpoint(_output(launch)), children.failed
    outcome = "stopped" if signals.why else "failed" if code else "completed"
    file.update(
        outcome=outcome,
        stop_cause=signals.why,
        exit_code=code,
        saved_step=saved.step if saved else None,
        error=read_error_line(failed, said[failed]) if outcome == "failed" and failed else None,
    )
    return code


def _commands(
    folder: Path, launch: Launch, place: TaskPlace, environment: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], dict[str, str], Path]]:
    """What this task starts: on Slurm one command; on this machine one a GPU, where nothing else starts them."""
    if _left_to_first(launch, place):
        return
    resume = find_newest_checkpoint(_output(launch))
    more = fill_placeholders(launch.resume, {LATEST: resume.path}) if resume else ()
    spread = launch.gpus if not place.on_slurm and launch.bootstrap is Bootstrap.PER_GPU else 1
    for local in range(spread):
        alone = spread == 1
        task = Task(
            rank=place.rank if alone else local,
            ranks=place.ranks if alone else spread,
            local_rank=place.local_rank if alone else local,
            local_ranks=place.local_ranks if alone else spread,
            node_rank=place.node_rank,
            nodes=place.nodes,
            gpus_per_node=launch.gpus_per_node,
            first_host=place.first_host,
            job_id=place.job,
            cpus=max(place.cpus // spread, 1),
        )
        given = {**environment, **launch.environment}
        yield (
            task_command(launch.bootstrap, (*launch.command, *more), task),
            task_environment(launch.bootstrap, task, given),
            folder / LOGS / f"{task.rank}.log",
        )


def _watched(
    folder: Path,
    launch: Launch,
    place: TaskPlace,
    children: Children,
    file: TaskFile,
    signals: StopSignals,
    words: SlurmdLog,
    limit_at: float,
) -> int:
    """Wait for the command's end, or for a signal, which it is handed on as its stop signal."""
    beat_at = time.monotonic() + BEAT_S
    waits, look_at = _left_to_first(launch, place), 0.0
    while (code := children.poll()) is None or waits:
        if waits and time.monotonic() >= look_at:
            look_at = time.monotonic() + _LOOK_S
            first = read_task_record(folder, replace(file.record, rank=0).file_name)
            waits = first is None or first.outcome is None
        if signals.why:
            file.update(state="stopping", stop_cause=signals.why, slurm_state=words.state())
            children.stop(getattr(signal, launch.stop_signal), launch.grace_s)
            return children.poll() or 0
        if time.monotonic() >= limit_at:
            signals.over()
        if time.monotonic() >= beat_at:
            beat_at += BEAT_S
            if not place.on_slurm and cancel_requested_s(
                folder
            ):  # from another machine, which cannot signal us
                signals.cancelled()
            if place.rank == 0:
                file.update()
        time.sleep(POLL_S)
    return code


def _left_to_first(launch: Launch, place: TaskPlace) -> bool:
    """Whether this task starts nothing, because the first one's command reaches this node by itself."""
    return bool(place.rank) and launch.bootstrap is Bootstrap.SINGLE and reaches_other_nodes(launch.command)


def _output(launch: Launch) -> Path | None:
    return Path(launch.output) if launch.output else None
