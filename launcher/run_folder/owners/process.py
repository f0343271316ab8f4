"""The process of a run on this machine: a signal reaches it, and no other that has got its number since.

What a run's folder says of its process may be old, or another's writing, so the process itself is looked at.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path, PurePath

from ..folder import SUBMITIT
from ..task_records import TaskRecord, is_process_alive

_PROC = Path("/proc")


def signal_task(folder: Path, task: TaskRecord, number: signal.Signals) -> bool:
    """Send a signal to the process of a task if it runs here and is that of the run in `folder`; return whether it is."""
    if type(task.pid) is not int or task.pid <= 1:  # 0 and below are groups of processes
        return False
    with suppress(OSError):  # it has just ended, or is another user's
        if not hasattr(os, "pidfd_open"):
            return _is_of_run(folder, task) and _kill(task.pid, number)
        process = os.pidfd_open(task.pid)  # from here on the number cannot become another's
        try:
            if _is_of_run(folder, task):
                signal.pidfd_send_signal(process, number)
                return True
        finally:
            os.close(process)
    return False


def _kill(pid: int, number: signal.Signals) -> bool:
    os.kill(pid, number)
    return True


def _is_of_run(folder: Path, task: TaskRecord) -> bool:
    """Return whether the process of a record is of the run's user, began when it says, and runs this run.

    A number and a time of birth come again after the machine was started anew.
    """
    if not is_process_alive(task):
        return False
    if not (_PROC / "self").exists():  # macOS shows neither
        return True
    process = _PROC / str(task.pid)
    words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    where = PurePath(os.fsdecode(words[-1]))
    return process.stat().st_uid == folder.stat().st_uid and where.parts[-2:] == (folder.name, SUBMITIT)
