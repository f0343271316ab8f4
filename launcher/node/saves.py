"""What an attempt left that is new, from the files of the run: the evidence from which a restart is decided."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...cluster_profiles.units import join_names
from ...estimator.measurements.training_loop import TRACK, LoopStart, LoopSteps
from ..command.placeholders import LATEST, placeholder_names
from ..logs.errors import ErrorKind
from ..logs.failure import Failure
from ..run_folder.checkpoint_files import newest_weights_s
from ..run_folder.checkpoints import Checkpoint, find_newest_of_families, read_name
from ..run_folder.left_out import Save, append_left_out, withdraw_left_out
from ..run_folder.locks.resumptions import since_resumption
from ..run_folder.progress.loop_lines import read_progress
from ..run_folder.task_records import TaskRecord, read_task_record, read_task_records
from .context import TaskContext
from .restart_policy import AttemptEnd, Progress, RestartDecision, StopCause, decide_restart

# Failures that no other checkpoint mends: wrong options (argparse ends with 2), no such program, a signal.
_CODES_OF_COMMAND = (2, 126, 127)
_FIRST_SIGNAL_CODE = 128 + 1
_ERRORS_OF_COMMAND = re.compile(
    r"\b(?:SyntaxError|IndentationError|ModuleNotFoundError|ImportError|NameError)\b"
)


def saves_at_start(task: TaskContext) -> dict[str, Any]:
    """Return the fields of the record that say what an attempt begins from, and what it finds."""
    resume = next(task.find_checkpoints(), None)
    fields: dict[str, Any] = {
        "resume_step": task.find_last_step() if resume else None,
        "resume_from": resume.path if resume else None,
        "resume_changed_s": resume.changed_s if resume else None,
    }
    if task.place.rank == 0:  # for all tasks: there may be many, on one disk
        newest = _newest_of_families(task)
        fields |= {
            "checkpoints": [each.path for each in newest],
            "last_save_s": max((each.changed_s for each in newest), default=None),
            "last_weights_s": _last_weights_s(task),
        }
    return fields


def decide_from_saves(task: TaskContext, failure: Failure | None) -> RestartDecision:
    """Decide whether the run restarts after this attempt, and note the checkpoint that later ones leave out.

    `failure` is that of the rank that failed first; None if none has.
    """
    cause = StopCause.FAILED if task.file.record.outcome == "failed" else StopCause.TIME_LIMIT
    records = since_resumption(task.folder, read_task_records(task.folder))
    lines = _read_loop(task.folder)
    record = task.file.update(progress=_measure_progress(task, records, lines))
    attempts = [
        *_earlier_ends(records, record),
        AttemptEnd(cause, Progress(record.progress or ""), _name(record.resume_from)),
    ]
    newest = next(task.find_checkpoints(), None)
    has_stepped = any(isinstance(line, LoopSteps) for line in lines.get(str(record.attempt), ()))
    may_mend = failure is not None and not has_stepped and _may_be_of_checkpoint(failure)
    before = _find_before(task) if may_mend else None
    decision = decide_restart(
        attempts,
        task.launch.max_restarts,
        f"step {record.saved_step}" if record.saved_step else _name(newest.path if newest else None),
        _name(before),
        lost_nodes="" if failure is None or failure.is_cause else _name_silent_nodes(task, records),
    )
    if decision.leaves_out and record.resume_from:
        append_left_out(task.folder, Save(record.resume_from, record.resume_changed_s or 0.0))
    elif cause is StopCause.FAILED and not decision.restart:
        withdraw_left_out(task.folder)
    return decision


def _measure_progress(
    task: TaskContext, records: Sequence[TaskRecord], lines: dict[str, list[LoopStart | LoopSteps]]
) -> Progress:
    """Return how far this attempt took the run beyond everything that was there before."""
    record = task.file.record
    attempt = record.attempt
    first = read_task_record(task.folder, replace(record, rank=0).file_name) or record
    before = [other.resume_step for other in records]
    before += [other.saved_step for other in records if other.attempt != attempt]
    newest = _newest_of_families(task)
    if (record.saved_step or 0) > max((step for step in before if step), default=0):
        return Progress.CHECKPOINT
    if any(_is_beyond(checkpoint, task, records) for checkpoint in newest):
        return Progress.CHECKPOINT
    starts = {
        name: loop[0].step
        for name, loop in lines.items()
        if isinstance(loop[0], LoopStart) and loop[0].source == TRACK  # a log does not say where it resumed
    }
    began = starts.pop(str(attempt), None)
    if began is not None and starts and began > max(starts.values()):
        return Progress.STEPS
    if any(checkpoint.changed_s > (first.last_save_s or 0) for checkpoint in newest):
        return Progress.SAVE
    last_s = _last_weights_s(task)
    return Progress.WEIGHTS if last_s is not None and last_s > (first.last_weights_s or 0) else Progress.NONE


def _is_beyond(checkpoint: Checkpoint, task: TaskContext, records: Sequence[TaskRecord]) -> bool:
    """Return whether a checkpoint has a higher number than all of its family with which an attempt began."""
    launch, name = task.launch, checkpoint.name
    earlier = [
        read_name(path, Path(launch.output), launch.checkpoint_pattern)
        for record in records
        for path in record.checkpoints
        if launch.output
    ]
    return bool(name.number) and all(
        name.number > other.number
        for other in earlier
        if other and (other.family, other.stem) == (name.family, name.stem)
    )


def _name_silent_nodes(task: TaskContext, records: Sequence[TaskRecord]) -> str:
    """Return the names of the other nodes where a task of this attempt has not said how its command ended."""
    mine = task.file.record
    tasks = [other for other in records if other.attempt == mine.attempt and other.outcome is None]
    return join_names(dict.fromkeys(other.node for other in tasks if other.node != mine.node), most=4)


def _may_be_of_checkpoint(failure: Failure) -> bool:
    """Return whether the checkpoint may be at fault, and not memory, the disk, the options or the code."""
    if failure.exit_code in _CODES_OF_COMMAND or failure.exit_code >= _FIRST_SIGNAL_CODE:
        return False
    is_other = failure.kind in (ErrorKind.DISK_FULL, ErrorKind.OUT_OF_MEMORY)
    return not is_other and not _ERRORS_OF_COMMAND.search(failure.error or "")


def _find_before(task: TaskContext) -> str | None:
    """Return the checkpoint before the one that this attempt began from; None if the command chooses it itself."""
    if LATEST not in placeholder_names(task.launch.resume):
        return None
    paths = (each.path for each in task.find_checkpoints())
    return next((path for path in paths if path != task.file.record.resume_from), None)


def _earlier_ends(records: Sequence[TaskRecord], record: TaskRecord) -> Iterator[AttemptEnd]:
    """Yield how the attempts before this one ended: the task that decided speaks for each."""
    for attempt in dict.fromkeys(other.attempt for other in records):
        if attempt == record.attempt:
            continue
        members = [other for other in records if other.attempt == attempt]
        decider = next((task for task in members if task.progress), members[0])
        has_failed = decider.outcome == "failed"
        yield AttemptEnd(
            StopCause.FAILED if has_failed else StopCause(decider.stop_cause or StopCause.TERMINATED),
            Progress(decider.progress) if decider.progress else None,
            _name(decider.resume_from),
        )


def _newest_of_families(task: TaskContext) -> list[Checkpoint]:
    launch = task.launch
    return find_newest_of_families(Path(launch.output), launch.checkpoint_pattern) if launch.output else []


def _last_weights_s(task: TaskContext) -> float | None:
    return newest_weights_s(Path(task.launch.output)) if task.launch.output else None


def _read_loop(folder: Path) -> dict[str, list[LoopStart | LoopSteps]]:
    """Return the start and the steps of the training loop of each attempt."""
    attempts = dict[str, list[LoopStart | LoopSteps]]()
    attempt = ""
    try:
        lines, _ = read_progress(folder)
    except OSError:
        return {}
    for line in lines:
        if isinstance(line, LoopStart):
            attempt = line.attempt
        if isinstance(line, LoopStart | LoopSteps):
            attempts.setdefault(attempt, []).append(line)
    return attempts


def _name(path: str | None) -> str | None:
    return Path(path).name if path else None
