"""Resume a run that has ended, as `clusterplan resume` does."""

import os
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import ClusterplanError
from ...estimator.job.job_file import load_workload
from ...launcher.resume.changes import is_other_shape
from ...launcher.resume.ended_run import changed_files
from ...launcher.run_folder.cancel_request import withdraw_cancel_request
from ...launcher.run_folder.checkpoints import Checkpoint
from ...launcher.run_folder.final_status import withdraw_final_status
from ...launcher.run_folder.folder import history_path
from ...launcher.run_folder.launch import Launch
from ...launcher.run_folder.locks.checkpoint_folder import lock_checkpoint_folder
from ...launcher.run_folder.locks.resumptions import (
    Resumption,
    begin_resumption,
    finish_resumption,
    withdraw_resumption,
)
from ...launcher.runs.run_status import RunStatus
from ...launcher.submission.submission import Submission, SubmittedRun
from ...render import resume_text
from ...render.layout import Page
from ..measurements import ProgressCallback
from ..result import Result
from ..submission import check_refusals, hand_over, submit_prepared
from ..submit import parse_walltime_s, run_tables
from .prepare import PreparedResumption, prepare_resumption


@dataclass(frozen=True, repr=False)
class ResumedRun(Result):
    """A run that goes on: `run` is its id, and `resumes` the id of the run it goes on from.

    They are the same unless the training changes; `changes` say how.  `checkpoint` has the `step` and the `path` that
    it goes on from; without one it begins again.
    """

    submission: Submission
    resumes: str
    checkpoint: Checkpoint | None
    changes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """Return the id of the run that goes on."""
        return self.submission.runs[0].run

    @property
    def folder(self) -> Path:
        """Return its folder."""
        return self.submission.runs[0].folder

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan resume --json`; docs/reference/json.md describes the keys."""
        return self.submission.runs[0].as_dict() | {
            "resumes": self.resumes,
            "step": self.checkpoint.step if self.checkpoint else 0,
            "checkpoint": self.checkpoint.path if self.checkpoint else None,
            "changes": list(self.changes),
        }

    def write(self, page: Page) -> None:
        """Write what goes on and from where, then what is submitted."""
        resume_text.resumed(page, self.submission, self.resumes, self.checkpoint, self.changes)


def resume(
    run: str | RunStatus | SubmittedRun,
    command: Sequence[object] = (),
    *,
    executor: str | None = None,
    time: str | float | None = None,
    requeue: bool | None = None,
    slurm: Mapping[str, str | int | bool] | None = None,
    bootstrap: str | None = None,
    resume_args: str | Sequence[object] = (),
    container: str | None = None,
    from_start: bool = False,
    force: bool = False,
    progress: ProgressCallback | None = None,
    **flags: Any,
) -> ResumedRun:
    """Go on with a run that has ended, from its newest checkpoint.

    `run` is a `Run`, one of the `runs` that `submit` returned, an id or the beginning of one.  Flags by their names
    change it, as `time`, `executor`, `requeue`, `command` and the options that `submit` takes too do; everything else is
    as it was.  If only resources change
    (`partition`, `gpus`, `time`, ...), the same run goes on; if the training changes (`batch_size`, `epochs`, the
    command), a new run goes on in the folder of the old one's checkpoints.  `from_start` lets a run without a
    checkpoint begin again, and `force` submits it even if the checks refuse.  `progress` is that of `collect`.

    Raises InputError if the run is open, has nothing to go on from, or if the checks refuse; WorkloadError for a wrong
    value; SlurmUnavailable, SubmissionError and RunFolderError as `submit` does.  The run is as it was then.

    Examples:
        >>> resume("no-such-run")
        Traceback (most recent call last):
        clusterplan.errors.InputError: there are no runs yet: `clusterplan submit JOB.toml` makes one
    """
    prepared = prepare_resumption(
        run,
        command,
        flags,
        run_tables(slurm or {}, bootstrap, resume_args, container),
        executor=executor,
        walltime_s=parse_walltime_s(time),
        requeue=requeue,
        from_start=from_start,
        progress=progress,
    )
    return resume_prepared(prepared, force=force)


def resume_prepared(resumption: PreparedResumption, *, force: bool = False) -> ResumedRun:
    """Let a run go on as it is prepared.  Raises as `resume` does; the run is as it was then."""
    ended, prepared, checkpoint = resumption.ended, resumption.prepared, resumption.checkpoint
    check_refusals(prepared, force=force)
    step, path = (checkpoint.step, checkpoint.path) if checkpoint else (None, None)
    record = begin_resumption(ended.folder, resumption.number, step, path)
    try:
        if resumption.changes:
            submission = submit_prepared(prepared, force=force, facts=_linked_facts(resumption))
        else:
            submission = _submit_again(resumption)
    except BaseException:  # Ctrl-C too
        withdraw_resumption(ended.folder, record)
        raise
    remarks = (*resumption.remarks, *_note(record, ended.folder, submission.runs[0]))
    return ResumedRun(submission, ended.folder.name, checkpoint, resumption.changes, remarks)


def _linked_facts(resumption: PreparedResumption) -> dict[str, Any]:
    """What run.json of a new run says of the old one: its id, and its values of a sweep, which are in its command still."""
    sweep = None if "another command" in resumption.changes else resumption.ended.facts.get("sweep")
    return {"resumes": resumption.ended.folder.name, **({"sweep": sweep} if sweep else {})}


def _submit_again(resumption: PreparedResumption) -> Submission:
    """Submit the same run as one more job: that makes its final status void."""
    ended, prepared = resumption.ended, resumption.prepared
    folder, destination, decision = ended.folder, prepared.destination, prepared.decision
    facts = {**ended.facts, "executor": destination.executor}
    launch = prepared.launches([folder], destination.local_gpus)[0]
    if is_other_shape(load_workload(None, tables=ended.job), prepared.workload):
        facts |= {"shape": resumption.facts["shape"], "shape_since_s": clock.time()}
    else:
        launch = _with_command_of(launch, ended.launch)
    with changed_files(folder, facts, launch, decision.request, prepared.workload):
        if launch.output:
            lock_checkpoint_folder(Path(launch.output), folder, prepared.checkpoint_writer)
        withdraw_cancel_request(folder)
        (job,), notes = hand_over([folder], decision.request, destination)
    withdraw_final_status(folder, job)
    again = SubmittedRun(folder.name, destination.executor, job, folder)
    return Submission((again,), decision, prepared.estimate, prepared.problems, destination.local_gpus, notes)


def _with_command_of(launch: Launch, before: Launch) -> Launch:
    """The launch with the very command of before: what was added to it by an estimate may be another now."""
    return replace(launch, command=before.command, environment=before.environment)


def _note(record: Resumption, folder: Path, run: SubmittedRun) -> list[str]:
    """Write down which run goes on, and forget its end in the history; where that fails it goes on all the same."""
    try:
        finish_resumption(folder, record, run.run, run.job_id)
        if history_path(os.environ).exists() and run.folder == folder:
            from ..history.history import History  # noqa: PLC0415  SQLite, once the run is submitted

            with History() as history:
                history.reopen_run(run.run)
    except (OSError, ClusterplanError) as error:
        return [f"the history may show the run's earlier end: {error}"]
    return []
