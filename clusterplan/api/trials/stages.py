"""A job in stages, from Python: the small ones first, each with a check that it has to pass."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ...cluster_profiles.catalog import load_profile
from ...cluster_profiles.profile import ClusterProfile
from ...estimator.job.workload import Workload
from ...estimator.measurements.measurement import Measurement
from ...estimator.stages.stages import (
    Stage,
    lay_out_stages,
    parse_stages,
)
from ...launcher.submission.decide import SubmitOptions
from ...launcher.submission.submission import Submission
from ...render.layout import Page
from ...render.trials import stages_text
from ..job import Job, read_workload, with_site_defaults
from ..measurements import ProgressCallback, find_measurements
from ..result import Result
from ..submit import parse_walltime_s, read_job_to_submit, run_tables
from .staged_submission import prepare_stages, submit_prepared_stages

STAGES = "1%,3%,100%"


@dataclass(frozen=True, repr=False)
class StagedEstimate(Result):
    """The estimates of the `stages` of a job, each with the check that it has to pass."""

    stages: tuple[Stage, ...]
    history_remarks: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the remarks on the history."""
        return self.history_remarks

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan estimate --progressive --json`."""
        return stages_text.stages_as_dict(self.stages)

    def write(self, page: Page) -> None:
        """Write a row for each stage."""
        stages_text.write_stages(page, self.stages)


@dataclass(frozen=True, repr=False)
class StagedSubmission(Result):
    """The `stages` of a job that were submitted, and the submission of each."""

    stages: tuple[Stage, ...]
    submissions: tuple[Submission, ...]
    history_remarks: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the warnings of the checks, each once, and the remarks on the history."""
        problems = [problem.text for submission in self.submissions for problem in submission.problems]
        return (*self.history_remarks, *dict.fromkeys(problems))

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan submit --progressive --json`."""
        return {
            "stages": [
                {"share": float(stage.share), **submission.runs[0].as_dict()}
                for stage, submission in zip(self.stages, self.submissions, strict=True)
            ]
        }

    def write(self, page: Page) -> None:
        """Write a row for each stage."""
        stages_text.write_submitted_stages(page, self.stages, self.submissions)


def estimate_stages(
    job: Job | None = None,
    profile: str | os.PathLike[str] | ClusterProfile | None = None,
    measurements: Sequence[Measurement] | None = None,
    *,
    stages: str = STAGES,
    now: datetime | None = None,
    progress: ProgressCallback | None = None,
    **flags: Any,
) -> StagedEstimate:
    """Estimate a job in stages, each a share of its steps: time, cost, and the check to pass before the next.

    `stages` are shares, the smallest first; the other arguments are those of `estimate`.  Raises as `estimate` does.

    Examples:
        >>> answer = estimate_stages(samples=30_000_000, batch_size=32, gpus=8, samples_per_s=44.3, measurements=[])
        >>> [stage.estimate.steps.total for stage in answer.stages]
        [1172, 3516, 117188]
    """
    shares = parse_stages(stages)
    if isinstance(profile, os.PathLike):
        profile = os.fspath(profile)
    named = {"profile": profile} if isinstance(profile, str) and not isinstance(job, Workload) else {}
    workload = read_workload(job, flags | named)
    if profile is None:
        workload = with_site_defaults(workload, has_cluster=False)
    name = profile or workload.cluster.profile
    cluster = load_profile(name) if isinstance(name, str) else name
    remarks: tuple[str, ...] = ()
    if measurements is None:
        measurements, remarks = find_measurements(workload.model, progress)
    laid_out = lay_out_stages(workload, cluster, measurements, now or datetime.now(UTC), shares)
    return StagedEstimate(tuple(laid_out), remarks)


def submit_stages(
    job: Job | None = None,
    command: Sequence[object] = (),
    *,
    stages: str = STAGES,
    executor: str | None = None,
    time: str | float | None = None,
    requeue: bool = True,
    slurm: Mapping[str, str | int | bool] | None = None,
    bootstrap: str | None = None,
    resume_args: str | Sequence[object] = (),
    container: str | None = None,
    force: bool = False,
    progress: ProgressCallback | None = None,
    **flags: Any,
) -> StagedSubmission:
    """Submit a job in stages: each is a run, and begins if the one before ended and passed its check.

    `stages` are shares of the steps, the smallest first; the other arguments are those of `submit`.  `time` is the
    walltime of each stage.  Raises as `submit` does; no stage is left in the queue then.

    Examples:
        >>> submit_stages(samples=1_000, batch_size=8, gpus=1, command=["train", "--out", "{output}"])
        Traceback (most recent call last):
        clusterplan.errors.WorkloadError: the command has no placeholder {max_steps}, so every stage would train in full: put it in, such as "--max_steps", "{max_steps}"
    """
    tables = run_tables(slurm or {}, bootstrap, resume_args, container)
    to_submit = read_job_to_submit(job, command, flags, tables)
    options = SubmitOptions(
        parse_walltime_s(time) or to_submit.walltime_s, requeue=requeue, other_braces=to_submit.has_command
    )
    measurements, remarks = find_measurements(to_submit.workload.model, progress)
    prepared = prepare_stages(
        to_submit, parse_stages(stages), options, executor=executor, measurements=measurements
    )
    laid_out = [stage for stage, _ in prepared]
    return StagedSubmission(
        tuple(laid_out), tuple(submit_prepared_stages(prepared, force=force)), (*to_submit.remarks, *remarks)
    )
