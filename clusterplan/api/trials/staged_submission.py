"""The stages of a job, decided and checked together, then submitted one after the other."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from ...errors import InputError, WorkloadError
from ...estimator.measurements.measurement import Measurement
from ...estimator.stages.stages import Stage, check_of, share_text, stage_workload
from ...launcher.command.placeholders import OUTPUT, placeholder_names
from ...launcher.run_folder.stages.stage import RunStage
from ...launcher.runs.cancel import cancel_runs
from ...launcher.submission.decide import SubmitOptions, run_of
from ...launcher.submission.submission import PreparedSubmission, Submission
from ..submission import check_refusals, prepare_submission, submit_prepared
from ..submit import JobToSubmit

_AFTER = "dependency"


def prepare_stages(
    job: JobToSubmit,
    shares: Sequence[Fraction],
    options: SubmitOptions,
    *,
    executor: str | None,
    measurements: Sequence[Measurement],
    dry_run: bool = False,
) -> list[tuple[Stage, PreparedSubmission]]:
    """Decide how each stage is submitted, and check it; nothing is written.  Raises as `prepare_submission` does."""
    _check_stages(job)
    prepared = [
        prepare_submission(
            stage_workload(job.workload, share),
            options,
            executor=executor,
            measurements=measurements,
            needs_gpus=job.needs_gpus,
            dry_run=dry_run,
        )
        for share in shares
    ]
    stages = []
    for share, each in zip(shares, prepared, strict=True):
        assert each.estimate  # noqa: S101  for the type checker: the job is sized
        check = None if each is prepared[-1] else check_of(each.estimate)
        stages.append((Stage(share, each.estimate, check), each))
    return stages


def _check_stages(job: JobToSubmit) -> None:
    """Raise WorkloadError if the command would not train a stage of the job, in a folder of its own."""
    if not job.is_sized:
        raise InputError(
            "the size of the job is not known, so no share of its steps is: give --samples and --batch-size, or "
            "--max-steps, and --gpus"
        )
    names = placeholder_names(run_of(job.workload).command)
    if "max_steps" not in names:
        raise WorkloadError(
            "the command has no placeholder {max_steps}, so every stage would train in full: put it in, such as "
            '"--max_steps", "{max_steps}"'
        )
    if OUTPUT not in names:
        raise WorkloadError(
            "the command has no placeholder {output}, so a stage would go on from the one before: put it in, such as "
            '"--output_dir", "{output}"'
        )


def submit_prepared_stages(
    prepared: Sequence[tuple[Stage, PreparedSubmission]], *, force: bool
) -> list[Submission]:
    """Submit the stages in order, each after the one before; if one is refused, those before it are cancelled.

    Raises as `submit_prepared` does.
    """
    for _, each in prepared:
        check_refusals(each, force=force)
    submissions = list[Submission]()
    try:
        for stage, each in prepared:
            before = submissions[-1].runs[0] if submissions else None
            waits = _after(each, before.job_id) if before else each
            folder = before.folder if before else None
            facts = RunStage(share_text(stage.share), folder, stage.check).as_facts()
            submissions.append(submit_prepared(waits, force=force, facts=facts))
    except BaseException:  # Ctrl-C too
        cancel_runs([run.folder for submission in submissions for run in submission.runs])
        raise
    return submissions


def _after(prepared: PreparedSubmission, job_id: str) -> PreparedSubmission:
    """The submission with Slurm's word that it begins after a job that ended with 0; a user's own dependency stays."""
    if not prepared.destination.on_slurm:
        return prepared
    request = prepared.decision.request
    further = dict(request.further)
    own = [str(further[_AFTER])] if _AFTER in further else []
    further |= {_AFTER: ",".join([*own, f"afterok:{job_id}"]), "kill-on-invalid-dep": "yes"}
    request = replace(request, further=tuple(further.items()))
    return replace(prepared, decision=replace(prepared.decision, request=request))
