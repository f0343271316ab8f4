"""The states of a run, and the evidence that one follows from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..logs.failure import Failure, find_cause
from ..run_folder.final_status import FinalStatus
from ..run_folder.job_log import JobEntry
from ..run_folder.task_records import Attempt, TaskRecord
from ..slurm.jobs import JobFacts, QueuedJob


class State(StrEnum):
    """Where a run is."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    NODE_FAILURE = "node_failure"
    LOST = "lost"

    @classmethod
    def _missing_(cls, value: object) -> "State | None":
        """Return a word that a newer version has coined as a state of its own: it is shown as it is."""
        if not isinstance(value, str):
            return None
        state = str.__new__(cls, value)
        state._name_ = state._value_ = value
        return state


OPEN_STATES = (State.PENDING, State.RUNNING)


@dataclass(frozen=True)
class RunState:
    """One state, its reason, and when it was known (Unix seconds).

    `stale` means that no sign of life came for 2 minutes: the state is only believed.  `failure` is that of the
    process that failed first.
    """

    state: State
    reason: str
    known_at: float
    exit_code: int | None = None
    stale: bool = False
    failure: Failure | None = None

    @property
    def final(self) -> bool:
        """Return whether the state cannot change any more."""
        return self.state not in OPEN_STATES


@dataclass(frozen=True)
class Evidence:
    """Everything that one run, its job and its processes tell.  Times are Unix seconds; None means nothing is told.

    `queued_job` and `accounting` are the newest job as squeue and sacct show it; `slurm_answers` is whether Slurm
    answered, `answer_age_s` how long ago it was asked.  `is_alive` is whether the run's process runs, for a run on this
    machine.  `slurmd_error` is the line that slurmd, or the job's shell, wrote as it ended the job.  `why_unasked`
    says why the Slurm that answers here was not asked about the job.
    """

    final_status: FinalStatus | None
    jobs: Sequence[JobEntry]
    tasks: Sequence[TaskRecord]
    exit_codes: Mapping[Attempt, int]
    queued_job: QueuedJob | None
    slurm_answers: bool
    accounting: JobFacts | None
    is_alive: bool | None
    cancel_requested_s: float | None
    began_s: float = 0.0
    slurmd_error: str | None = None
    why_unasked: str | None = None
    answer_age_s: float = 0.0

    @property
    def last_tasks(self) -> list[TaskRecord]:
        """Return the tasks of the last attempt of the newest job; none if its shell alone speaks of that attempt."""
        job = self.jobs[-1].job
        tasks = [task for task in self.tasks if task.job == job]
        ended = [attempt.restart for attempt in self.exit_codes if attempt.job == job]
        last_restart = max([*(task.restart for task in tasks), *ended], default=0)
        return [task for task in tasks if task.restart == last_restart]

    @property
    def failure(self) -> Failure | None:
        """Return the failure in the last attempt that led to the others; None if no task says that it failed."""
        return find_cause(task.failure for task in self.last_tasks if task.failure)

    @property
    def names_node(self) -> bool:
        """Return whether it matters on which node a process failed: the run had several, or could have another."""
        nodes = {task.node for task in self.tasks}
        ranks = max((task.ranks for task in self.tasks), default=1)
        is_on_slurm = bool(self.jobs) and self.jobs[-1].executor == "slurm"
        return is_on_slurm and (len(nodes) > 1 or ranks > 1)

    @property
    def exit_code(self) -> int | None:
        """Return the exit code of the last attempt, as the job's shell saw it; otherwise as its tasks or accounting did."""
        job, tasks = self.jobs[-1].job, self.last_tasks
        restarts = [attempt.restart for attempt in self.exit_codes if attempt.job == job]
        last = Attempt(job, tasks[0].restart if tasks else max(restarts, default=0))
        code = self.exit_codes.get(last)
        if code is None:
            code = exit_code_of_tasks(tasks)
        return self.accounting.exit_code if code is None and self.accounting else code


def exit_code_of_tasks(tasks: Sequence[TaskRecord]) -> int | None:
    """Return the first failed task's code, 0 if all of an attempt's tasks completed, else None."""
    failures = [task.exit_code for task in tasks if task.outcome == "failed"]
    if failures:
        return failures[0]
    all_completed = bool(tasks) and all(task.outcome == "completed" for task in tasks)
    return 0 if all_completed and len(tasks) == tasks[0].ranks else None
