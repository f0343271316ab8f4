"""What the guard of a task works with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from ..command.task import Task
from ..run_folder.checkpoints import Checkpoint, last_step
from ..run_folder.launch import Launch
from ..run_folder.left_out import find_resumable
from ..run_folder.task_file import TaskFile
from .stop.signals import StopSignals
from .stop.slurm_reason import SlurmdLog

POLL_S = 0.1
SHARED_DISK_POLL_S = 2.0  # on the disk that all nodes share
SIGNAL_DELAY_S = 2.0  # Slurm signals every process of a job, and this one may be the last


@dataclass(frozen=True)
class TaskContext:
    """One task in one attempt of the run in `folder`.

    `launch` and `place` say what the task runs and where; `file` is its record; `signals` and `slurmd_log` say
    whether, and why, it is to stop.
    """

    folder: Path
    launch: Launch
    place: Task
    file: TaskFile
    signals: StopSignals
    slurmd_log: SlurmdLog

    def find_checkpoints(self) -> Iterator[Checkpoint]:
        """Return the checkpoints to resume from, the newest first, without those that a start could not go on from."""
        return find_resumable(self.folder, self.launch)

    def find_last_step(self) -> int | None:
        """Return the step of the newest checkpoint whose name tells one."""
        return last_step(self.find_checkpoints())


def wait_for(condition: Callable[[], Any], limit_s: float, poll_s: float = POLL_S) -> None:
    """Wait until the condition holds, or for `limit_s`."""
    deadline_s = monotonic() + limit_s
    while not condition() and monotonic() < deadline_s:
        sleep(poll_s)
