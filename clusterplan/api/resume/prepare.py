"""Decide how a run that has ended goes on, and check it; nothing is written."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cluster_profiles.units import join_names
from ...errors import InputError, WorkloadError
from ...estimator.job.job_file import load_workload
from ...estimator.job.workload import Workload
from ...launcher.command.job_values import check_flags_reach
from ...launcher.resume.changes import describe_code_change, list_training_changes
from ...launcher.resume.ended_run import EndedRun, read_ended_run
from ...launcher.resume.literal_values import with_literal_values
from ...launcher.run_folder.checkpoints import Checkpoint
from ...launcher.run_folder.folder import check_own_run, history_path
from ...launcher.run_folder.locks.resumptions import next_resumption
from ...launcher.run_folder.registry import find_folders
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.state import OPEN_STATES, State
from ...launcher.runs.status import read_status, read_statuses
from ...launcher.submission.decide import SubmitOptions, run_of
from ...launcher.submission.submission import PreparedSubmission, SubmittedRun
from ..measurements import ProgressCallback, find_measurements
from ..submission import describe_prepared, prepare_submission
from ..submit import with_command

_LENGTHS = {"samples", "tokens", "max_steps"}


@dataclass(frozen=True)
class PreparedResumption:
    """A run that may be resumed, decided and checked; nothing is written yet.

    `number` is that of the resumption, and `changes` are those of the training.
    """

    ended: EndedRun
    number: int
    prepared: PreparedSubmission
    checkpoint: Checkpoint | None
    changes: tuple[str, ...]
    facts: Mapping[str, Any]
    remarks: tuple[str, ...]


def prepare_resumption(
    run: str | RunStatus | SubmittedRun,
    command: Sequence[object],
    flags: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    *,
    executor: str | None = None,
    walltime_s: float | None = None,
    requeue: bool | None = None,
    from_start: bool = False,
    progress: ProgressCallback | None = None,
) -> PreparedResumption:
    """Decide how a run goes on, and check it; nothing is written.  Raises as `resume` does.

    `options` are values for [run] and [slurm], as `run_tables` returns them.
    """
    folder = find_ended_folder(run) if isinstance(run, str) else run.folder
    check_own_run(folder, "resume")
    number = next_resumption(folder)  # before its state: who resumes it in between has this number
    status = read_status(folder)
    _check_has_ended(status)
    ended = read_ended_run(folder)
    before = load_workload(None, tables=ended.job)
    is_sized = ended.is_sized or not _LENGTHS.isdisjoint(flags)
    tables = ended.job if ended.is_sized or not is_sized else {**ended.job, "data": {}}
    after = with_command(load_workload(None, flags, tables=tables, run_tables=options), command)
    if not command:
        after, reached = with_literal_values(after, flags)
        _check_flags_reach(after, flags.keys() - reached, folder.name)
    changes = list_training_changes(before, after, is_sized=ended.is_sized)
    checkpoint = ended.find_checkpoint()
    _check_goes_on(status, ended, checkpoint, changes, from_start=from_start)
    checkpoints = after.checkpoint.model_copy(update={"folder": str(ended.output)})
    after = after.model_copy(update={"checkpoint": checkpoints})
    measurements, remarks = find_measurements(after.model, progress)
    before_executor = str(ended.facts.get("executor"))
    stays = executor in (None, before_executor)
    prepared = prepare_submission(
        after,
        SubmitOptions(
            walltime_s or (ended.walltime_s if stays else None),
            requeue=ended.request.requeue if requeue is None else requeue,
            other_braces=True,  # they were accepted once
        ),
        executor=executor or before_executor,
        measurements=measurements,
        is_sized=is_sized,
        needs_gpus=ended.launch.local_gpus != () or "gpus" in flags,  # what ran on the CPU may again
        cwd=_cwd(ended),
        root=folder.parent,
    )
    facts = describe_prepared(prepared)
    remarks = (*remarks, *(problem.text for problem in prepared.problems if not problem.refuses))
    if changed := describe_code_change({**ended.facts, "diff": ended.diff()}, facts):
        remarks = (*remarks, changed)
    if checkpoint and not run_of(after).resume:
        remarks = (
            *remarks,
            f"the command has to load {checkpoint.path} by itself: no resume arguments are stated",
        )
    return PreparedResumption(ended, number, prepared, checkpoint, changes, facts, remarks)


def find_ended_folder(beginning: str) -> Path:
    """Return the folder of the run with this id, or of the only one that has ended and begins so.  Raises InputError."""
    if not beginning:
        raise InputError("RUN is empty: give an id, or the beginning of one")
    folders = find_folders(history_path(os.environ), "submit", beginning)
    if len(folders) == 1:
        return folders[0]
    ends = {status.folder: status.state.state for status in read_statuses(folders).statuses}
    is_wanted = {folder: end not in (*OPEN_STATES, State.COMPLETED) for folder, end in ends.items()}
    candidates = [folder for folder in folders if is_wanted.get(folder)]
    if len(candidates) == 1:
        return candidates[0]
    names = join_names(folder.name for folder in candidates or folders)
    raise InputError(f"{len(candidates or folders):,} runs begin with {beginning!r}: give one of {names}")


def _check_has_ended(status: RunStatus) -> None:
    if status.state.state in OPEN_STATES:
        raise InputError(
            f"{status.run} is {status.state.state}: wait for its end, or `clusterplan cancel {status.run}` first"
        )


def _check_flags_reach(workload: Workload, flags: Collection[str], run: str) -> None:
    try:
        check_flags_reach(run_of(workload), flags)
    except WorkloadError as error:
        text = str(error).removesuffix(": put the placeholder in")
        raise WorkloadError(
            f"{text}: give the changed command too, `clusterplan resume {run} ... -- COMMAND`"
        ) from None


def _check_goes_on(
    status: RunStatus,
    ended: EndedRun,
    checkpoint: Checkpoint | None,
    changes: Sequence[str],
    *,
    from_start: bool,
) -> None:
    """Raise InputError if nothing is left to do, or nothing is there to go on from."""
    stopped_early = status.progress is not None and status.progress.stopped_early
    if status.state.state is State.COMPLETED and not changes and not stopped_early:
        raise InputError(
            f"{status.run} is completed: to train it further give more --epochs or --max-steps, or a changed command"
        )
    if checkpoint and from_start:
        raise InputError(
            f"--from-start: {status.run} has {checkpoint.path} to go on from; `clusterplan submit` starts a new run"
        )
    if checkpoint or from_start or not ended.has_begun():
        return
    files = ended.files_in_output()
    there = f"it has {join_names(files)}" if files else "it is empty"
    raise InputError(
        f"{status.run} has no checkpoint to go on from in {ended.output} ({there}): --from-start runs its command "
        "again, from step 0 unless the command itself finds more"
    )


def _cwd(ended: EndedRun) -> Path:
    cwd = Path(ended.launch.cwd)
    if not cwd.is_dir():
        raise InputError(f"{cwd}, in which {ended.folder.name} ran, does not exist any more")
    return cwd
