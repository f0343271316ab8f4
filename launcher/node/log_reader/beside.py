"""The process that reads logs beside a command.

It only reads: the command writes into its log itself, so nothing that happens to the reader can reach the training.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from ....estimator.job.framework import Bootstrap
from ...run_folder.folder import LOGS
from ...sampler.beside import ignore_slurm_warning
from ..context import TaskContext
from .followed_log import FollowedLog

_STOP_S = 3.0  # for the reader to read what is left; the end of a job does not wait longer for it


def logs_to_follow(task: TaskContext) -> list[FollowedLog]:
    """Return the logs that a task reads: that of the first rank, and that of the last one, which speaks for Megatron."""
    launch, place = task.launch, task.place
    if place.on_slurm:
        ranks = {place.rank} & {0, place.ranks - 1}
    else:
        ranks = {0, launch.gpus - 1} if launch.bootstrap is Bootstrap.PER_GPU and launch.gpus > 1 else {0}
    logs = ((rank, task.folder / LOGS / f"{rank}.log") for rank in sorted(ranks))
    return [FollowedLog(str(log), size_of(log), last_rank=rank > 0) for rank, log in logs]


@contextmanager
def log_reader_beside(
    task: TaskContext, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes] | None"]:
    """Read the logs of a task into the progress of its run while the block runs.

    It is None where the task has no log to read, or the process cannot be started.
    """
    logs = logs_to_follow(task)
    if not logs:
        yield None
        return
    record = task.file.record
    step = 0 if record.resume_from is None else record.resume_step
    values = {
        "logs": [asdict(log) for log in logs],
        "start": {"step": step, "time_s": task.file.now_s(), "monotonic_s": time.monotonic()},
    }
    module = "clusterplan.launcher.node.log_reader"
    command = [sys.executable, "-P", "-m", module, str(task.folder), json.dumps(values)]
    try:
        process = subprocess.Popen(  # noqa: S603  our own module
            command,
            stdin=subprocess.PIPE,  # its end tells the reader to end, also if this process is killed
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=ignore_slurm_warning,  # noqa: PLW1509  there are no threads here yet
        )
    except OSError:  # no memory for another process is no reason not to train
        yield None
        return
    assert process.stdin  # noqa: S101  a pipe
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # it may hang in a file system that does not answer
                process.wait(_STOP_S)


def size_of(log: Path) -> int:
    """Return the bytes of a log; 0 if it does not exist."""
    try:
        return os.stat(log).st_size  # noqa: PTH116  as `file_exists`
    except OSError:
        return 0
