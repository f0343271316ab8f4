"""A submission as values: prepared, and made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...estimator.job.workload import Workload
from ..run_folder.folder import slug
from ..run_folder.launch import Launch
from ..run_folder.locks.checkpoint_folder import Writer
from .decide import Decision
from .destination import Destination
from .executor.script import script
from .lay_out import lay_out
from .machine import Machine
from .problem import Problem

if TYPE_CHECKING:  # a job of unknown size has no estimate
    from ...estimator.estimate.estimate import Estimate


@dataclass(frozen=True)
class SubmittedRun:
    """One run that was handed over: its id, its executor, the id of its job, and its folder."""

    run: str
    executor: str
    job_id: str
    folder: Path

    def as_dict(self) -> dict[str, str]:
        """Return the keys of `submit --json`."""
        return {
            "run": self.run,
            "executor": self.executor,
            "job_id": self.job_id,
            "folder": str(self.folder),
        }


@dataclass(frozen=True)
class Submission:
    """What `submit` did: a run for each combination of the sweep, and what was decided.

    `problems` are those that did not keep it from being submitted, and `notes` what the site's sbatch said.
    `local_gpus` are the UUIDs of the GPUs for which a run on this machine may wait; None on Slurm.
    """

    runs: tuple[SubmittedRun, ...]
    decision: Decision
    estimate: "Estimate | None"
    problems: tuple[Problem, ...]
    local_gpus: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of `submit --json`: those of the run, or `runs` of a sweep."""
        runs = [run.as_dict() for run in self.runs]
        return {"runs": runs} if self.decision.sweep[0] else runs[0]


@dataclass(frozen=True)
class PreparedSubmission:
    """A job that is decided and checked, and of which nothing is written yet.

    `checkpoint_writer` is the run that had the folder of its checkpoints then.
    """

    workload: Workload
    destination: Destination
    estimate: "Estimate | None"
    decision: Decision
    machine: Machine
    problems: tuple[Problem, ...]
    cwd: Path
    root: Path
    checkpoint_writer: Writer | None = None

    def refusals(self) -> list[Problem]:
        """Return the problems that keep the job from being submitted."""
        return [problem for problem in self.problems if problem.refuses]

    def launches(
        self, folders: Sequence[Path] | None = None, gpus: tuple[str, ...] | None = None
    ) -> list[Launch]:
        """Return the launch of each run, in `folders` or in the one that a dry run shows."""
        sweep = self.decision.sweep
        return [
            lay_out(self.decision, str(folder), values, str(self.cwd), gpus)
            for folder, values in zip(folders or [self.dry_folder] * len(sweep), sweep, strict=True)
        ]

    def first_launch(self) -> Launch:
        """Return the launch of the first run, in the folder that a dry run shows."""
        return lay_out(self.decision, str(self.dry_folder), self.decision.sweep[0], str(self.cwd))

    def script(self) -> str | None:
        """Return the batch script that sbatch would be given; None for a run on this machine."""
        if not self.destination.on_slurm:
            return None
        return script(self.dry_folder, self.decision.request, len(self.decision.sweep))

    @property
    def dry_folder(self) -> Path:
        """Return the folder that a dry run shows."""
        return self.root / f"{slug(self.decision.name)}-DRY-RUN"
