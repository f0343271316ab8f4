"""The state of runs: gather the evidence, judge it, and write down a state that will not change any more."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from ...errors import UnreadableFile
from ..clock import disk_now_s
from ..logs.errors import find_log_error
from ..logs.tail import read_tail
from ..run_folder.cancel_request import CancelRequest, read_cancel_request
from ..run_folder.final_status import write_final_status
from ..run_folder.folder import is_own_run
from ..run_folder.job_files import JobFiles
from ..run_folder.job_log import JobEntry
from ..run_folder.launch import Launch
from ..run_folder.left_out import find_newest_of_run
from ..run_folder.locks.resumptions import read_successor
from ..run_folder.records.booking import read_booking
from ..run_folder.records.run_facts import RunFacts
from ..run_folder.task_records import first_tasks, is_process_alive
from ..slurm.answers import SlurmAnswers, read_answers
from ..slurm.jobs import PREEMPTED
from ..slurm.pace import Pace
from .explain.memory_option import double_memory
from .explain.restarts import list_restarts, sum_waits_s
from .explain.trials import with_trial
from .judge import judge_state, with_early_end
from .progress.run_progress import read_run_progress
from .run_files import RunFault, RunFiles, read_run_files
from .run_status import RunStatus
from .state import Evidence, RunState, State
from .waiting.release import release_failed_launch

T = TypeVar("T")

_LOG_END_BYTES = 8192
_NEEDS_MEMORY = (State.FAILED, State.OUT_OF_MEMORY)


class Statuses(NamedTuple):
    """The statuses of runs, and what is wrong with the folders of some; one of which nobody can tell has no status."""

    statuses: list[RunStatus]
    faults: list[RunFault]


def read_status(folder: Path) -> RunStatus:
    """Return the status of one run, as `read_statuses` does.  Raises UnreadableFile if nobody can tell it."""
    statuses, faults = read_statuses([folder])
    if not statuses:
        raise faults[0].error
    return replace(statuses[0], faults=tuple(faults))


def read_statuses(
    folders: Sequence[Path], facts_of: Mapping[Path, RunFacts] | None = None, pace: Pace | None = None
) -> Statuses:
    """Return the status of each run, with one question to Slurm for all of them.

    With a `pace`, only its rounds ask Slurm.  `facts_of` has the values of run.json of runs for which they are read
    already.

    A final state is written into the run's folder, because Slurm forgets a job within minutes.  A run that was given
    up as lost is judged again: its job may have begun since.
    """
    runs, faults = list[RunFiles](), list[RunFault]()
    for folder in folders:
        try:
            runs.append(read_run_files(folder, (facts_of or {}).get(folder)))
        except UnreadableFile as fault:
            faults.append(RunFault(folder, fault))
    jobs = {run.jobs[-1].job: run.jobs[-1].cluster for run in runs if run.is_open_on_slurm}
    answers = pace.answer("jobs", lambda: read_answers(jobs)) if jobs and pace else read_answers(jobs)
    reader = _StatusReader(answers, JobFiles(), finds_checkpoint=len(folders) == 1)
    statuses = list[RunStatus]()
    for run in runs:
        try:
            statuses.append(reader.read(run))
        except OSError as error:  # of a link without an end, or a disk that does not answer
            faults.append(RunFault(run.folder, UnreadableFile.of(error.filename or run.folder, error)))
    return Statuses(statuses, [*faults, *reader.faults])


@dataclass
class _StatusReader:
    """Judges runs one after another; what is wrong with a part of one is added to `faults`."""

    answers: SlurmAnswers
    files: JobFiles
    finds_checkpoint: bool
    faults: list[RunFault] = field(default_factory=list)
    _ahead_s: dict[Path, float] = field(default_factory=dict)

    def _now_s(self, run: RunFiles) -> float:
        """Return the Unix time by the clock that the run's records are by: of one that goes on, the disk's."""
        root = run.folder.parent
        if run.tasks and not run.certain_end and root not in self._ahead_s:
            self._ahead_s[root] = disk_now_s(root) - time.time()
        return time.time() + self._ahead_s.get(root, 0.0)

    def _part(self, folder: Path, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except UnreadableFile as fault:
            self.faults.append(RunFault(folder, fault))
            return None

    def read(self, run: RunFiles) -> RunStatus:
        """Return the status of a run."""
        folder, facts, tasks = run.folder, run.facts, run.tasks
        self.faults += [RunFault(folder, fault) for fault in run.faults]
        request = self._part(folder, lambda: read_cancel_request(folder))
        evidence = self._gather(run, request)
        now_s = self._now_s(run)
        state = with_trial(judge_state(evidence, now_s), facts, tasks, request)
        job = run.jobs[-1].job if run.jobs else None
        is_new = state.state != (run.final.state if run.final else None)
        if state.final and job and is_new and is_own_run(folder):
            _write_end(folder, state, job)
        launch, progress = self._part(folder, lambda: Launch.find(folder)), None
        if tasks or not run.may_change:
            progress = self._part(
                folder,
                lambda: read_run_progress(folder, facts, launch, tasks, state, evidence.queued_job, now_s),
            )
        memory_option = ""
        if state.state in _NEEDS_MEMORY and (booking := self._part(folder, lambda: read_booking(folder))):
            memory_option = double_memory(
                dict(booking.further or ()), tasks[-1].memory_mib if tasks else None
            )
        attempts = first_tasks(tasks)
        return RunStatus(
            run=folder.name,
            folder=folder,
            state=with_early_end(state, progress),
            job=job,
            restarts=max(len(attempts) - 1, 0),
            progress=progress,
            preemptions=sum(task.slurm_state == PREEMPTED for task in attempts),
            sweep=facts.get("sweep") or {},
            began_s=next((task.began_s for task in tasks if task.state != "waiting"), None),
            nodes=tuple(dict.fromkeys(task.node for task in evidence.last_tasks)) if job else (),
            starts=list_restarts(tasks),
            waited_between_s=sum_waits_s(tasks),
            facts=facts,
            memory_option=memory_option,
            checkpoint=self._part(folder, lambda: find_newest_of_run(folder))
            if self.finds_checkpoint
            else None,
            has_saved=any((task.saved_step, task.resume_step) != (None, None) for task in tasks),
            looked_s=now_s,
            continued_by=self._part(folder, lambda: read_successor(folder)) if state.final else None,
            slurm_silence=self.answers.silence if run.is_open_on_slurm and not state.final else "",
            clocks_ahead_s={task.node: task.clock_s for task in tasks if task.clock_s},
        )

    def _gather(self, run: RunFiles, request: CancelRequest | None) -> Evidence:
        """Return everything that tells how the run goes."""
        job = run.jobs[-1] if run.jobs else None
        open_job = job if run.is_open_on_slurm else None
        why_unasked = self._why_unasked(run.folder, open_job) if open_job else None
        job_id = open_job.job if open_job and not why_unasked else ""
        may_change = run.may_change and job is not None
        log = self.files.newest_log(run.folder, job.job) if job and may_change else None
        return Evidence(
            final_status=run.certain_end,
            jobs=run.jobs,
            tasks=run.tasks,
            exit_codes=self.files.read_exit_codes(run.folder, {j.job for j in run.jobs})
            if may_change
            else {},
            queued_job=release_failed_launch(run.folder, self.answers.queued_job(job_id)) if job_id else None,
            slurm_answers=self.answers.answers,
            answer_age_s=self.answers.age_s,
            accounting=self.answers.accounting.get(job_id),
            is_alive=is_process_alive(run.tasks[-1]) if run.tasks else None,
            cancel_requested_s=request.time_s if request else None,
            began_s=run.facts.get("began_s") or 0.0,
            slurmd_error=_read_error(log),
            why_unasked=why_unasked,
        )

    def _why_unasked(self, folder: Path, job: JobEntry) -> str | None:
        """Return why nobody asks Slurm here about a job; None if it is asked."""
        if other_cluster := self.answers.other_cluster(job.cluster):
            return f"on cluster {other_cluster}"
        if not is_own_run(folder):  # squeue is asked for this user's jobs, of which such a run may name one
            return "a job of another user"
        return None


def _write_end(folder: Path, state: RunState, job: str) -> None:
    reason = None if state.failure else state.reason or None
    write_final_status(
        folder, state.state, state.exit_code, reason, state.failure, ended_s=state.known_at, job=job
    )


def _read_error(log: Path | None) -> str | None:
    """Return the line that says why slurmd, or its out-of-memory handler, ended the job; None without a log."""
    return find_log_error(read_tail(log, _LOG_END_BYTES)).line if log else None
