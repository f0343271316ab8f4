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
from typing import Any

from ..errors import ClusterplanError
from ..estimator.run_section import Bootstrap
from . import slurm
from .attempts import Attempt, AttemptFile, birth, read_attempt, read_attempts, starts
from .bootstrap import Task, reaches_other_nodes, task_command, task_environment
from .checkpoints import newest
from .children import Children
from .failure import last_words
from .final_status import final_status, put_final
from .launch import Launch
from .local_gpus import Held, held_gpus
from .placeholders import LATEST, filled
from .restart import Stop, Verdict, verdict
from .run_folder import LOGS
from .sampled_command import NOT_STARTED, sampler_beside
from .stopped_by import DaemonsWords, asked_state
from .task_place import TaskPlace, task_place

POLL_S = 0.1
BEAT_S = 20.0
_LOOK_S = 2.0  # at another node's file, on the shared disk of all
_OTHERS_S = 60.0  # for the tasks of other nodes to have stopped too
_ANSWERED_S = 2.0
_REQUEUED_S = 120.0  # Slurm ends a job that it requeues
_TERMINATED = 128 + signal.SIGTERM


class _Signals:
    """Why we were asked to stop; the first reason counts, but a cancellation after a warning is remembered."""

    def __init__(self) -> None:
        self.why: Stop | None = None
        self.terminated = False

    def listen(self) -> None:
        signal.signal(signal.SIGUSR2, self._heard)
        signal.signal(signal.SIGTERM, self._heard)
        signal.signal(signal.SIGINT, self._heard)

    def _heard(self, number: int, _: object) -> None:
        self.terminated = self.terminated or number != signal.SIGUSR2
        self.why = self.why or (Stop.TIME_LIMIT if number == signal.SIGUSR2 else Stop.TERMINATED)

    def over(self) -> None:
        """The time that a run on this machine was given is over: there is no Slurm to warn it."""
        self.why = self.why or Stop.TIME_LIMIT


def run_task(
    folder: Path, environment: Mapping[str, str], successor: Callable[[Path, str], str | None]
) -> int:
    """Run this task of the run in `folder` to its end; the exit code it should have.

    `successor` queues a job that goes on after this one, where Slurm may not requeue it.
    """
    signals = _Signals()
    signals.listen()
    if final_status(folder):  # an administrator's requeue of a run that is done
        return 0
    launch, place = Launch.read(folder), task_place(environment)
    file = AttemptFile(folder, _first(place))
    with held_gpus(launch, lambda: signals.why is not None) as held:
        if held is None:
            put_final(folder, "cancelled", None, "cancelled before it began")
            file.put(state="ended", outcome="stopped", why=signals.why, ended_s=time.time())
            return 1
        while True:
            resume = newest(_output(launch))
            file.put(
                state="running",
                restart=place.restart,
                resumed_step=resume.step if resume else None,
                began_s=time.time(),
            )
            code = _attempt(folder, launch, place, environment, held, file, signals)
            decided = _decided(folder, launch, file, signals, code)
            if place.on_slurm or not (decided and decided.restart):
                break
            place = replace(place, restart=place.restart + 1)
            file = AttemptFile(folder, _first(place))
    if decided and decided.restart and place.on_slurm:
        _start_again(folder, file, signals, successor)
        return 0
    # A task that was only stopped with the others must not fail the job before the first has requeued it.
    return 0 if signals.why is Stop.TIME_LIMIT and place.rank else code or (1 if signals.why else 0)


def _first(place: TaskPlace) -> Attempt:
    now = time.time()
    return Attempt(
        job=place.job,
        restart=place.restart,
        rank=place.rank,
        ranks=place.ranks,
        node=place.node,
        host=socket.gethostname(),
        pid=os.getpid(),
        born=birth(os.getpid()),
        began_s=now,
        beat_s=now,
        state="waiting",
    )


def _attempt(
    folder: Path,
    launch: Launch,
    place: TaskPlace,
    environment: Mapping[str, str],
    held: Held,
    file: AttemptFile,
    signals: _Signals,
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
    words = DaemonsWords(folder, place.job)
    with sampler_beside(folder, launch.period_s, inner) if sampled else nullcontext():
        children = Children(whole_group=launch.bootstrap is not Bootstrap.TORCHRUN, files=held.files)
        try:
            for command, added, log in _commands(folder, launch, place, environment):
                children.start(command, launch.cwd, {**inner, **added}, log)
        except OSError as error:
            children.stop(signal.SIGKILL, 0)
            file.put(outcome="failed", exit_code=NOT_STARTED, error=f"{error.filename}: {error.strerror}")
            return NOT_STARTED
        code = _watched(folder, launch, place, children, file, signals, words)
    if place.on_slurm and code == _TERMINATED:  # by a signal to all processes, of which ours may come last
        _wait_for(lambda: signals.why, _ANSWERED_S)
    if place.on_slurm and signals.why is Stop.TERMINATED:
        file.put(slurm_state=words.state() or asked_state(place.job, place.restart))
    saved = newest(_output(launch))
    outcome = "stopped" if signals.why else "failed" if code else "completed"
    file.put(
        outcome=outcome,
        why=signals.why,
        exit_code=code,
        saved_step=saved.step if saved else None,
        error=last_words(folder / LOGS, place.rank) if outcome == "failed" else None,
    )
    return code


def _commands(
    folder: Path, launch: Launch, place: TaskPlace, environment: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], dict[str, str], Path]]:
    """What this task starts: on Slurm one command; on this machine one a GPU, where nothing else starts them."""
    if _left_to_first(launch, place):
        return
    resume = newest(_output(launch))
    more = filled(launch.resume, {LATEST: resume.path}) if resume else ()
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
    file: AttemptFile,
    signals: _Signals,
    words: DaemonsWords,
) -> int:
    """Wait for the command's end, or for a signal, which it is handed on as its stop signal."""
    beat_at = time.monotonic() + BEAT_S
    limit_at = time.monotonic() + (math.inf if launch.limit_s is None else launch.limit_s - launch.grace_s)
    waits, look_at = _left_to_first(launch, place), 0.0
    while (code := children.poll()) is None or waits:
        if waits and time.monotonic() >= look_at:
            look_at = time.monotonic() + _LOOK_S
            first = read_attempt(folder, replace(file.now, rank=0).file_name)
            waits = first is None or first.outcome is None
        if signals.why:
            file.put(state="stopping", why=signals.why, slurm_state=words.state())
            children.stop(getattr(signal, launch.stop_signal), launch.grace_s)
            return children.poll() or 0
        if time.monotonic() >= limit_at:
            signals.over()
        if time.monotonic() >= beat_at:
            beat_at += BEAT_S
            if place.rank == 0:
                file.put()
        time.sleep(POLL_S)
    return code


def _left_to_first(launch: Launch, place: TaskPlace) -> bool:
    """Whether this task starts nothing, because the first one's command reaches this node by itself."""
    return bool(place.rank) and launch.bootstrap is Bootstrap.SINGLE and reaches_other_nodes(launch.command)


def _decided(folder: Path, launch: Launch, file: AttemptFile, signals: _Signals, code: int) -> Verdict | None:
    """What follows this attempt; None where another task, Slurm or the user decides.

    The final word of the run is written here, if this is where it ends.
    """
    now = file.now
    if now.outcome == "completed":
        file.put(state="ended", ended_s=time.time())
        if all(a.outcome == "completed" for a in _same_start(folder, now)) and _all_there(folder, now):
            put_final(folder, "completed", 0)
        return None
    if now.outcome == "stopped" and (signals.why is Stop.TERMINATED or now.rank):
        if launch.local_gpus is not None:
            put_final(folder, "cancelled", code, "it was asked to stop")
        file.put(state="ended", ended_s=time.time())
        if signals.why is Stop.TIME_LIMIT:
            _wait_for(lambda: signals.terminated or _stopped(folder, now), _OTHERS_S + launch.grace_s)
        return None
    why = Stop.TIME_LIMIT if now.outcome == "stopped" else Stop.FAILED
    if why is Stop.TIME_LIMIT:
        file.put(state="stopping")
        _wait_for(lambda: signals.terminated or _stopped(folder, now, besides=0), _OTHERS_S)
    past = [a.saved_step for a in starts(read_attempts(folder)) if a.file_name != now.file_name]
    found = verdict(why, [*past, now.saved_step], now.resumed_step, launch.max_restarts)
    if launch.local_gpus is not None and why is Stop.TIME_LIMIT:
        found = Verdict(restart=False, reason="the time asked for is over")  # nobody but the user set it
    if why is Stop.FAILED and now.rank and found.restart:
        found = replace(found, reason=f"rank {now.rank}: {found.reason}")
    file.put(restarting=found.restart, reason=found.reason, state="ended", ended_s=time.time())
    if not found.restart:
        timed_out = why is Stop.TIME_LIMIT
        put_final(folder, "timed_out" if timed_out else _failed_state(now), code, found.reason, now.error)
    return found


def _failed_state(attempt: Attempt) -> str:
    from .failure import is_out_of_memory

    return "out_of_memory" if is_out_of_memory(attempt.error, attempt.exit_code) else "failed"


def _start_again(
    folder: Path, file: AttemptFile, signals: _Signals, successor: Callable[[Path, str], str | None]
) -> None:
    """Requeue this job, or queue one that goes on after it; then wait for Slurm to end this one."""
    job = file.now.job
    try:
        facts = slurm.job(job)
        if facts is None or facts.requeue is not False:
            slurm.requeue(job)
            _wait_for(lambda: signals.terminated, _REQUEUED_S)
            return
    except ClusterplanError as error:
        refused = str(error)
        _wait_for(lambda: signals.terminated, _ANSWERED_S)
        if (
            signals.terminated
        ):  # it was requeued, and scontrol ended with all the job's processes before it could say so
            return
    else:
        refused = "Slurm may not requeue this job"
    try:
        following = successor(folder, job)
    except ClusterplanError as error:
        put_final(folder, "timed_out", file.now.exit_code, f"{refused}, and no successor was queued: {error}")
        file.put(restarting=False, reason=f"{refused}; {error}")
        return
    file.put(reason=f"{file.now.reason}; {refused}, so job {following} goes on")


def _same_start(folder: Path, now: Attempt) -> list[Attempt]:
    return [a for a in read_attempts(folder) if (a.job, a.restart) == (now.job, now.restart)]


def _all_there(folder: Path, now: Attempt) -> bool:
    return len(_same_start(folder, now)) == now.ranks


def _stopped(folder: Path, now: Attempt, besides: int | None = None) -> bool:
    """Whether every task of this start has seen its command end, `besides` one rank."""
    return all(a.outcome is not None for a in _same_start(folder, now) if a.rank != besides)


def _wait_for(condition: Callable[[], Any], most_s: float) -> None:
    deadline = time.monotonic() + most_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _output(launch: Launch) -> Path | None:
    return Path(launch.output) if launch.output else None
