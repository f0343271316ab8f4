"""The folder of a new run: everything that is written before its job is queued."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ...cluster_profiles.configuration import find_group
from ...cluster_profiles.modes import make_inner_folder
from ...errors import JobUnknown, RunFolderError
from ...estimator.job.placement import Placement, shape_of_job
from ...estimator.job.workload import Workload, stated_values
from ..run_folder.folder import (
    DEEPSPEED_FILE,
    DIFF_FILE,
    ESTIMATE_FILE,
    JOB_FILE,
    REQUEST_FILE,
    create_run_folder,
    discard_run,
    json_text,
    link_file,
    register_run,
    write_new_text,
)
from ..run_folder.job_log import read_jobs
from ..run_folder.launch import Launch
from ..run_folder.locks.checkpoint_folder import Writer, lock_checkpoint_folder
from ..secrets.redact import redact_arguments, redact_values
from .decide import Decision
from .problem import Problem, warning
from .snapshot import take_snapshot
from .sweep import Sweep


def describe_run(
    workload: Workload,
    placement: Placement,
    steps: int | None,
    executor: str,
    cwd: Path,
    environment: Mapping[str, str],
    python: str | None,
) -> dict[str, Any]:
    """Return what run.json says of a submitted run: what it was made from, and the shape that a measurement of it has."""
    size = workload.architecture
    return {
        "kind": "submit",
        "model": workload.model,
        "command": redact_arguments(workload.run.command if workload.run else ()),
        "host": socket.gethostname(),
        "executor": executor,
        "cwd": str(cwd),
        "steps": steps,
        "precision_is_stated": "precision" in workload.training.model_fields_set,
        "shape": {
            "model": workload.model,
            **asdict(shape_of_job(workload, placement)),
            "cluster": placement.cluster,
            "parameters": size.parameters,
            "active_parameters": size.active_parameters,
            "trainable_parameters": size.trainable_parameters,
        },
        **take_snapshot(cwd, environment, python),
    }


@contextmanager
def new_run_folders(
    name: str, root: Path, now: datetime, facts: Mapping[str, Any], sweep: Sweep, history: Path
) -> Iterator[list[Path]]:
    """Make a folder for the run of each combination of a sweep; if the block fails, those without a job are discarded.

    The exception then has a note with the runs that had begun.  Raises RunFolderError and OSError.
    """
    facts = {**facts, "began_s": now.timestamp()}
    diff = facts.pop("diff")  # in a file of its own: run.json is read by every command
    folders, group = list[Path](), find_group(history)
    try:
        for values in sweep:
            folders.append(
                create_run_folder(name, root, now, {"sweep": redact_values(values) or None, **facts}, group)
            )
            if diff:
                _write_or_link(DIFF_FILE, diff, folders)
        yield folders
    except JobUnknown as error:
        error.add_note(f"so the folder is kept: {folders[0].parent if folders[1:] else folders[0]}")
        raise
    except BaseException as error:  # Ctrl-C too: nothing is left half-registered
        begun = [folder.name for folder in folders if read_jobs(folder)]
        for folder in folders:
            if folder.name not in begun:
                discard_run(folder, history)
        if begun:
            error.add_note(f"begun before that: {' '.join(begun)}")
        raise


def fill_folders(
    folders: Sequence[Path],
    launches: Sequence[Launch],
    decision: Decision,
    workload: Workload,
    estimate: Mapping[str, Any] | None,
    history: Path,
    writer: Writer | None,
) -> tuple[Problem, ...]:
    """Write what each run's tasks need, and put the run into the list of runs; return what kept it out of the list.

    `writer` is the run that had the folder of checkpoints when it was checked.  Raises OSError, and InputError if another
    run has it since.
    """
    job = stated_values(workload)
    common = {
        REQUEST_FILE: asdict(decision.request),
        JOB_FILE: redact_values(job),
        ESTIMATE_FILE: redact_values(estimate) if estimate else None,  # it has the options of sbatch
        DEEPSPEED_FILE: decision.deepspeed_config,
    }
    problems = list[Problem]()
    texts = {name: json_text(values) for name, values in common.items() if values is not None}
    for at, (folder, launch, values) in enumerate(zip(folders, launches, decision.sweep, strict=True), 1):
        launch.with_secrets_of(job, values).write(folder)
        for name, text in texts.items():
            _write_or_link(name, text, folders[:at])
        if launch.output:
            make_inner_folder(Path(launch.output))
        if decision.checkpoint.folder and launch.output and len(folders) == 1:
            lock_checkpoint_folder(Path(launch.output), folder, writer)
        try:
            register_run(folder, history)
        except RunFolderError as error:  # a list that cannot be written is no reason not to train
            problems.append(warning("unregistered", str(error)))
    return tuple(problems)


def _write_or_link(name: str, text: str, folders: Sequence[Path]) -> None:
    """Write a file into the last of the folders; all before it have the same."""
    if folders[1:]:
        link_file(folders[0] / name, folders[-1] / name, text)
    else:
        write_new_text(folders[0] / name, text)
