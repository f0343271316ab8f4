"""The guard of a training command: it starts the command, stops it when asked to, and records how it ended.

Slurm's warning (USR2) and SIGTERM reach this process and not the command.  The command gets its own stop signal,
and time to save.
"""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimator.job.framework import Bootstrap
from ..clock import VARIABLE
from ..command.launchers import (
    task_command,
    task_environment,
)
from ..command.placeholders import LATEST, fill_placeholders
from ..command.processes.program import with_arguments
from ..logs.errors import ErrorKind, find_log_error
from ..logs.failure import Failure, find_cause
from ..logs.tail import read_tail
from ..run_folder.cancel_request import cancel_requested_s
from ..run_folder.folder import LOGS
from ..run_folder.task_records import read_task_record
from ..sampler.beside import NOT_STARTED, sampler_beside
from .context import POLL_S, SHARED_DISK_POLL_S, SIGNAL_DELAY_S, TaskContext, wait_for
from .gpu_locks import GpuLocks
from .log_reader.beside import log_reader_beside
from .processes import Children
from .restart_policy import StopCause
from .stop.grace import note_reason, preemption_left_s
from .stop.other_starts import has_newer_start
from .stop.term_witness import has_term_come_to_all, term_witness
from .stop.time_limit import TimeLimit

if TYPE_CHECKING:
    from subprocess import Popen

HEARTBEAT_S = 20.0
_KILL_MARGIN_S = 5.0  # to decide on a restart before the time limit
_SIGNAL_ORDER_S = 0.3  # between the signals of one node


def run_command(task: TaskContext, environment: Mapping[str, str], gpus: GpuLocks, deadline_s: float) -> None:
    """Run the task's command once, and write into its record how it ended.

    `deadline_s` is the monotonic time at which a run on this machine has to stop.
    """
    inner = {
        **environment,
        **gpus.environment,
        **task.launch.environment,
        "CLUSTERPLAN_RUN_FOLDER": str(task.folder),
        "CLUSTERPLAN_ATTEMPT": str(task.file.record.attempt),
        VARIABLE: task.file.clock.exported(),
    }
    is_sampled = task.place.local_rank == 0  # a sampler per node
    with ExitStack() as beside:
        sampler = (
            beside.enter_context(sampler_beside(task.folder, task.launch.period_s, inner))
            if is_sampled
            else None
        )
        witness = beside.enter_context(term_witness()) if task.place.on_slurm else None
        starts = not _starts_no_command(task)
        reader = beside.enter_context(log_reader_beside(task, inner)) if starts else None
        without = [process.pid for process in (sampler, witness, reader) if process]
        children = Children(open_files=gpus.files, without=without)
        log_sizes = dict[Path, int]()  # earlier attempts wrote into the same logs
        try:
            for command, variables, log in _commands(task, environment):
                log_sizes[log] = log.stat().st_size if log.exists() else 0
                added = {**inner, **variables}
                words = task.launch.in_container(command, task.folder, added)
                children.start(words, task.launch.cwd, added, log, task.launch.umask)
        except OSError as error:
            children.stop(signal.SIGKILL, 0)
            task.file.update(
                outcome="failed",
                exit_code=NOT_STARTED,
                error=f"{error.filename}: {error.strerror}",
                error_kind=ErrorKind.ERROR,
                failed_s=task.file.now_s(),
            )
            return
        limit = None
        if task.place.on_slurm:
            limit = TimeLimit.read(task.folder, task.file, task.launch.grace_s, environment)
        code = _wait_for_end(task, children, witness, limit, deadline_s)
    failures = [
        _read_failure(task, log, failed_code, log_sizes[log]) for log, failed_code in children.failures
    ]
    _record_end(task, code, find_cause(failures))


def _commands(
    task: TaskContext, environment: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], dict[str, str], Path]]:
    """Yield the command, the added variables and the log of each process that this task starts.

    A task on Slurm starts one process.  On this machine one task stands for all: it starts a process per GPU, unless
    the command does that.  A task that was told to stop while it waited for an earlier start begins nothing beside it.
    """
    launch, place = task.launch, task.place
    if _starts_no_command(task) or task.signals.cause:
        return
    checkpoint = task.file.record.resume_from
    resume = fill_placeholders(launch.resume, {LATEST: checkpoint}) if checkpoint else ()
    processes = launch.gpus if not place.on_slurm and launch.bootstrap is Bootstrap.PER_GPU else 1
    for local_rank in range(processes):
        rank = replace(place, cpus=max(place.cpus // processes, 1))
        if processes > 1:
            rank = replace(
                rank, rank=local_rank, ranks=processes, local_rank=local_rank, local_ranks=processes
            )
        words = with_arguments(launch.command, resume)
        outer = {**environment, **launch.environment}
        yield (
            task_command(launch.bootstrap, words, rank, launch.gpus_per_node, launch.environment),
            task_environment(launch.bootstrap, rank, launch.gpus_per_node, outer, launch.environment),
            task.folder / LOGS / f"{rank.rank}.log",
        )


def _wait_for_end(
    task: TaskContext,
    children: Children,
    witness: "Popen[bytes] | None",
    limit: TimeLimit | None,
    deadline_s: float,
) -> int:
    """Wait until the command ends, or stop it when the task is to stop; return its exit code."""
    heartbeat_s = time.monotonic() + HEARTBEAT_S
    first_task_s = 0.0
    waits_for_first = _starts_no_command(task)
    while (code := children.poll()) is None or waits_for_first:
        if waits_for_first and time.monotonic() >= first_task_s:
            first_task_s = time.monotonic() + SHARED_DISK_POLL_S
            waits_for_first = not _has_first_task_ended(task)
        if task.signals.cause:
            break
        if time.monotonic() >= deadline_s or (limit and limit.is_near(task.file.now_s())):
            task.signals.note_time_limit()
        if time.monotonic() >= heartbeat_s:
            heartbeat_s += HEARTBEAT_S
            _beat(task)
        time.sleep(POLL_S)
    if (
        task.place.on_slurm
    ):  # the command, or its peers on other nodes, may be signalled before this process is
        wait_for(lambda: task.signals.cause, SIGNAL_DELAY_S if code else _SIGNAL_ORDER_S)
    if task.signals.cause:  # a wrapper may have ended at once, and the training that it started saves
        _stop(task, children, witness, limit)
    return children.poll() or 0


def _beat(task: TaskContext) -> None:
    """Give a sign of life, and look for reasons to stop that no signal brings."""
    if not task.place.on_slurm and cancel_requested_s(task.folder):  # made on another machine
        task.signals.note_termination()
    if task.place.local_rank == 0 and has_newer_start(task.folder, task.file.record):
        task.signals.note_newer_start()
    if task.place.rank == 0:
        task.file.update()


def _stop(
    task: TaskContext, children: Children, witness: "Popen[bytes] | None", limit: TimeLimit | None
) -> None:
    """Send the stop signal to the command, unless Slurm has done so, and give it time to save."""
    task.file.update(state="stopping", stop_cause=task.signals.cause)
    if task.signals.cause is StopCause.NEWER_START:  # nothing more may be written
        children.stop(signal.SIGKILL, 0)
        return
    number: int = getattr(signal, task.launch.stop_signal)
    has_come = False
    if witness and number == signal.SIGTERM and task.signals.cause is StopCause.TERMINATED:
        wait_for(lambda: has_term_come_to_all(witness), SIGNAL_DELAY_S)
        has_come = has_term_come_to_all(witness)
    children.signal(number, has_come=has_come)
    note_reason(task)
    grace_s = task.launch.grace_s
    if limit and task.signals.cause is StopCause.TIME_LIMIT:
        grace_s = limit.grace_left_s(task.file.now_s(), _KILL_MARGIN_S)
    children.end(number, grace_s, lambda: preemption_left_s(task))


def _read_failure(task: TaskContext, log: Path, code: int, since: int) -> Failure:
    """Return how a process failed; an attempt's lines of its log begin at byte `since`."""
    launch, number = task.launch, int(log.stem)
    error = find_log_error(read_tail(log, since=since), code)
    rank = number if launch.bootstrap is Bootstrap.PER_GPU else error.rank
    return Failure(
        rank=rank if launch.gpus > 1 else None,
        log=number,
        node=task.place.node,
        exit_code=error.exit_code or code,
        error=error.line,
        kind=error.kind,
        time_s=log.stat().st_mtime if log.exists() else task.file.now_s(),
    )


def _record_end(task: TaskContext, code: int, failure: Failure | None) -> None:
    signals = task.signals
    outcome = "stopped" if signals.cause else "failed" if code else "completed"
    task.file.update(
        outcome=outcome,
        stop_cause=signals.cause,
        exit_code=code,
        saved_step=task.find_last_step(),
        **(_failure_fields(failure) if outcome == "failed" and failure else {}),
    )


def _failure_fields(failure: Failure) -> dict[str, Any]:
    return {
        "error": failure.error,
        "error_kind": failure.kind,
        "failed_rank": failure.rank,
        "failed_log": failure.log,
        "failed_code": failure.exit_code,
        "failed_s": failure.time_s,
    }


def _starts_no_command(task: TaskContext) -> bool:
    """Return whether this task starts nothing, because the first task's command starts processes on this node too."""
    return task.place.rank > 0 and task.launch.one_task


def _has_first_task_ended(task: TaskContext) -> bool:
    first = read_task_record(task.folder, replace(task.file.record, rank=0).file_name)
    return first is not None and first.outcome is not None
