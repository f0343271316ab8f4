"""The files that tell which run a folder is of, and how it goes: each is read once, and what is wrong with others is kept."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ClusterplanError, UnreadableFile
from ..run_folder.cancel_request import read_cancel_request
from ..run_folder.final_status import LOST, FinalStatus, read_final_status
from ..run_folder.job_log import JobEntry, read_jobs
from ..run_folder.launch import Launch
from ..run_folder.left_out import read_left_out
from ..run_folder.locks.resumptions import read_successor
from ..run_folder.records.job_tables import read_job
from ..run_folder.records.run_facts import RunFacts, read_run_facts
from ..run_folder.stages.stage import read_verdict
from ..run_folder.task_records import TaskRecord, read_tasks


@dataclass(frozen=True)
class RunFiles:
    """A run's folder as it is now; `faults` are those of files that cost a part of what is known, and not the run."""

    folder: Path
    facts: RunFacts
    final: FinalStatus | None
    jobs: Sequence[JobEntry]
    tasks: Sequence[TaskRecord]
    faults: Sequence[UnreadableFile]

    @property
    def certain_end(self) -> FinalStatus | None:
        """Return how the run ended; None before its end, and where that is a guess."""
        return self.final if self.final and self.final.state != LOST else None

    @property
    def is_open_on_slurm(self) -> bool:
        """Return whether Slurm may know how the run goes."""
        return self.certain_end is None and bool(self.jobs) and self.jobs[-1].executor == "slurm"

    @property
    def may_change(self) -> bool:
        """Return whether Slurm may still say more: its word on a job that it killed for memory comes after the task's."""
        return self.certain_end is None or self.certain_end.was_killed


@dataclass(frozen=True)
class RunFault:
    """What is wrong with one run's folder; the others go on."""

    folder: Path
    error: ClusterplanError

    @property
    def reason(self) -> str:
        """Return the file in the folder, and what is wrong with it.

        >>> RunFault(Path("/runs/net-1"), UnreadableFile("/runs/net-1/run.json", "is missing")).reason
        'run.json: is missing'
        """
        return str(self.error).removeprefix(f"{self.folder}{os.sep}").removeprefix(f"{self.folder}: ")

    @property
    def text(self) -> str:
        """Return the run and the reason in one line."""
        return f"{self.folder.name}: {self.reason}"


def find_other_faults(folder: Path) -> Iterator[UnreadableFile]:
    """Yield what is wrong with the files of a run that are read when something is done with it, such as `resume`."""
    for read in (Launch.find, read_job, read_cancel_request, read_left_out, read_verdict, read_successor):
        try:
            read(folder)
        except UnreadableFile as fault:
            yield fault


def read_run_files(folder: Path, facts: RunFacts | None = None) -> RunFiles:
    """Read the run in `folder`; `facts` are the values of its run.json, if they are read already.

    Raises UnreadableFile if nobody can tell which run it is, or how it goes.
    """
    facts = read_run_facts(folder) if facts is None else facts
    final, jobs, tasks = read_final_status(folder), read_jobs(folder), read_tasks(folder)
    return RunFiles(folder, facts, final, jobs, tasks.records, tasks.faults)
