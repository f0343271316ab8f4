"""The state of runs: gather the evidence, judge it, and write down a state that will not change any more."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import SlurmRefused, SlurmUnavailable
from ..logs.errors import find_log_error
from ..logs.tail import read_tail
from ..run_folder.cancel_request import cancel_requested_s
from ..run_folder.checkpoints import Checkpoint
from ..run_folder.final_status import LOST, read_final_status, was_killed, write_final_status
from ..run_folder.job_files import JobFiles
from ..run_folder.job_log import JobEntry, read_jobs
from ..run_folder.left_out import find_newest_of_run
from ..run_folder.locks.resumptions import read_successor
from ..run_folder.progress.progress import Progress
from ..run_folder.registry import read_request_options, read_run_facts
from ..run_folder.task_records import (
    first_tasks,
    is_process_alive,
    read_task_records,
)
from ..slurm import client as slurm
from ..slurm.jobs import PREEMPTED, JobFacts, QueuedJob
from .explain.memory_option import double_memory
from .explain.remedy import EndedFacts, Remedy, find_remedy
from .explain.restarts import Restart, list_restarts, sum_waits_s
from .explain.trials import with_trial
from .judge import judge_state, with_early_end
from .progress.run_progress import read_run_progress
from .state import Evidence, RunState, State
from .waiting.release import release_failed_launch

_LOG_END_BYTES = 8192
_NEEDS_MEMORY = (State.FAILED, State.OUT_OF_MEMORY)


@dataclass(frozen=True)
class RunStatus:
    """A run as `clusterplan status` shows it; None is not known.

    `preemptions` are those of its restarts that Slurm called preemptions; `sweep` has the values that set this run
    apart from the others of its sweep.  `began_s` is its first start, `nodes` are those of its last one, `starts` its
    restarts, and `waited_between_s` is the time between an attempt's end and the next start.  `facts` are the values of run.json, and `memory_option` asks Slurm for more memory.  `has_saved` is whether any attempt had a checkpoint; `checkpoint` is looked for if the run is the only one asked for.  `slurm_silence` says that Slurm did not answer, of a run that only Slurm knows.  Times are in Unix seconds.
    """

    run: str
    folder: Path
    state: RunState
    job: str | None
    restarts: int
    progress: Progress | None
    preemptions: int = 0
    sweep: Mapping[str, str] = field(default_factory=dict)
    began_s: float | None = None
    nodes: tuple[str, ...] = ()
    starts: tuple[Restart, ...] = ()
    waited_between_s: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    memory_option: str = ""
    checkpoint: Checkpoint | None = None
    has_saved: bool = False
    looked_s: float = 0.0
    continued_by: str | None = None
    slurm_silence: str = ""

    @property
    def user(self) -> str:
        """Return the name of the user who submitted it; empty for a run of an earlier clusterplan."""
        return str(self.facts.get("user") or "")

    @property
    def elapsed_s(self) -> float | None:
        """Return the seconds from its first start to its end, or until now; None before it began."""
        if self.began_s is None:
            return None
        return max((self.state.known_at if self.state.final else self.looked_s) - self.began_s, 0.0)

    @property
    def remedy(self) -> Remedy | None:
        """Return what to do about a run that has ended otherwise than it should, and that no other run goes on from."""
        if self.continued_by:
            return None
        facts = EndedFacts(
            run=self.facts,
            has_checkpoint=self.has_saved or self.checkpoint is not None,
            has_begun=self.began_s is not None,
            step=self.checkpoint.step if self.checkpoint else None,
            progress=self.progress,
            nodes=self.nodes,
            memory_option=self.memory_option,
        )
        return find_remedy(self.run, self.state, facts)


@dataclass(frozen=True)
class _SlurmAnswers:
    """What Slurm says of the newest jobs of some runs, by job id; a job of another cluster is not asked about."""

    answers: bool = True
    silence: str = ""
    queue: Mapping[str, QueuedJob] = field(default_factory=dict)
    accounting: Mapping[str, JobFacts] = field(default_factory=dict)
    cluster: str | None = None  # the one that answers here

    def queued_job(self, job_id: str) -> QueuedJob | None:
        """Return a job as squeue shows it: an array that was cancelled before any of its runs began is one job to it."""
        return self.queue.get(job_id) or self.queue.get(job_id.partition("_")[0])

    def other_cluster(self, job: JobEntry) -> str | None:
        """Return the name of the job's cluster if it is another one: its job ids are in use here too."""
        return job.cluster if self.cluster and job.cluster != self.cluster else None


def read_statuses(
    folders: Sequence[Path], facts_of: Mapping[Path, Mapping[str, Any]] | None = None
) -> list[RunStatus]:
    """Return the status of each run, with one question to Slurm for all of them.

    `facts_of` has the values of run.json of runs for which they are read already.

    A final state is written into the run's folder, because Slurm forgets a job within minutes.  A run that was given
    up as lost is judged again: its job may have begun since.
    """
    final = {folder: _read_certain_end(folder) for folder in folders}
    jobs = {folder: read_jobs(folder) for folder in folders}
    open_jobs = {
        folder: jobs[folder][-1]
        for folder in folders
        if final[folder] is None and jobs[folder] and jobs[folder][-1].executor == "slurm"
    }
    answers = _ask_slurm(list(open_jobs.values()))
    statuses, files = [], JobFiles()
    for folder in folders:
        job = jobs[folder][-1] if jobs[folder] else None
        open_job = open_jobs.get(folder)
        other_cluster = answers.other_cluster(open_job) if open_job else None
        job_id = open_job.job if open_job and not other_cluster else ""
        facts = (facts_of or {}).get(folder) or read_run_facts(folder)
        tasks = read_task_records(folder)
        is_certain = job is None or not _may_change(final[folder])
        evidence = Evidence(
            final_status=final[folder],
            jobs=jobs[folder],
            tasks=tasks,
            exit_codes={} if is_certain else files.read_exit_codes(folder, {j.job for j in jobs[folder]}),
            queued_job=release_failed_launch(folder, answers.queued_job(job_id)),
            slurm_answers=answers.answers,
            accounting=answers.accounting.get(job_id),
            is_alive=is_process_alive(tasks[-1]) if tasks else None,
            cancel_requested_s=cancel_requested_s(folder),
            began_s=float(facts.get("began_s") or 0),
            slurmd_error=_read_error(files.newest_log(folder, job.job)) if job and not is_certain else None,
            other_cluster=other_cluster,
        )
        state = with_trial(judge_state(evidence, time.time()), facts, tasks, folder)
        if state.final and state.state != (final[folder] or {}).get("state") and job:
            write_final_status(
                folder,
                state.state,
                state.exit_code,
                None if state.failure else state.reason or None,
                state.failure,
                ended_s=state.known_at,
                job=job.job,
            )
        attempts = first_tasks(tasks)
        progress = (
            read_run_progress(folder, facts, tasks, state, evidence.queued_job)
            if tasks or is_certain
            else None
        )
        statuses.append(
            RunStatus(
                run=folder.name,
                folder=folder,
                state=with_early_end(state, progress),
                job=job.job if job else None,
                restarts=max(len(attempts) - 1, 0),
                progress=progress,
                preemptions=sum(task.slurm_state == PREEMPTED for task in attempts),
                sweep=facts.get("sweep") or {},
                began_s=next((task.began_s for task in tasks if task.state != "waiting"), None),
                nodes=tuple(dict.fromkeys(task.node for task in evidence.last_tasks)) if job else (),
                starts=list_restarts(tasks),
                waited_between_s=sum_waits_s(tasks),
                facts=facts,
                memory_option=double_memory(
                    read_request_options(folder), tasks[-1].memory_mib if tasks else None
                )
                if state.state in _NEEDS_MEMORY
                else "",
                checkpoint=find_newest_of_run(folder) if len(folders) == 1 else None,
                has_saved=any((task.saved_step, task.resume_step) != (None, None) for task in tasks),
                looked_s=time.time(),
                continued_by=read_successor(folder) if state.final else None,
                slurm_silence=answers.silence if open_job and not state.final else "",
            )
        )
    return statuses


def _read_certain_end(folder: Path) -> dict[str, Any] | None:
    final = read_final_status(folder)
    return final if final and final["state"] != LOST else None


def _may_change(final: Mapping[str, Any] | None) -> bool:
    """Return whether Slurm may still say more: its word on a job that it killed for memory comes after the task's."""
    return final is None or was_killed(final)


def _ask_slurm(jobs: Sequence[JobEntry]) -> _SlurmAnswers:
    if not jobs:
        return _SlurmAnswers()
    with ThreadPoolExecutor() as pool:
        cluster = pool.submit(_read_cluster)
        try:
            queue = {job.job_id: job for job in slurm.read_queue()}
        except (SlurmRefused, SlurmUnavailable) as error:
            return _SlurmAnswers(answers=False, silence=str(error))
    answers = _SlurmAnswers(queue=queue, cluster=cluster.result())
    missing = [job.job for job in jobs if job.job not in queue and not answers.other_cluster(job)]
    return replace(answers, accounting=_read_accounting(missing)) if missing else answers


def _read_cluster() -> str | None:
    """Return the name of the Slurm that answers here."""
    with suppress(SlurmRefused, SlurmUnavailable):
        return slurm.read_settings().cluster or None
    return None


def _read_accounting(jobs: Sequence[str]) -> Mapping[str, JobFacts]:
    with suppress(SlurmRefused, SlurmUnavailable):
        return slurm.read_accounting(jobs) or {}
    return {}


def _read_error(log: Path | None) -> str | None:
    """Return the line that says why slurmd, or its out-of-memory handler, ended the job; None without a log."""
    return find_log_error(read_tail(log, _LOG_END_BYTES)).line if log else None
