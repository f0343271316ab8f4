"""Watch a probe until its step time is known, and stop it."""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...cluster_profiles.modes import make_inner_folder
from ..run_folder.progress.loop_lines import read_progress
from ..runs.cancel import cancel_runs
from ..runs.run_status import RunStatus
from ..runs.state import State
from ..runs.status import read_status
from .probe import ProbeEnd, Speed, read_speed

_POLL_S = {"slurm": 2.0, "local": 0.5}  # a question to Slurm starts processes
_STOPPED_S = 120.0  # for Slurm to end a job that it was told to cancel
_ENDS = {State.COMPLETED: ProbeEnd.ENDED, State.TIMED_OUT: ProbeEnd.TIME_OVER}
LookCallback = Callable[[RunStatus, Speed], None]


def watch_probe(
    folder: Path, executor: str, most_s: float, within: float, look: LookCallback
) -> tuple[ProbeEnd, Speed, RunStatus]:
    """Return why a probe ended, the speed that it told, and its status then; a probe that trains on is stopped.

    It is stopped once its step time is known to `within`, a share of it, and after it held its GPUs for `most_s`.
    `look` is called at each look at it.  Raises SlurmUnavailable and SlurmRefused.
    """
    while True:
        status = read_status(folder)
        lines, _ = read_progress(folder)
        speed = read_speed(lines)
        look(status, speed)
        if status.state.final:
            return _ENDS.get(status.state.state, ProbeEnd.FAILED), speed, status
        if speed.error is not None and speed.error <= within:
            return ProbeEnd.KNOWN, speed, stop_probe(folder, executor, "its speed is known")
        if (status.elapsed_s or 0.0) >= most_s:
            return ProbeEnd.TIME_OVER, speed, stop_probe(folder, executor)
        time.sleep(_POLL_S[executor])


def remove_checkpoints(folder: Path) -> None:
    """Remove what a probe has saved in the folder of its run: nothing goes on from it, and it may be large."""
    output = folder / "output"
    shutil.rmtree(output, ignore_errors=True)
    with suppress(OSError):
        make_inner_folder(output)


def stop_probe(folder: Path, executor: str, reason: str = "") -> RunStatus:
    """Cancel a probe, for a `reason` if it is known, and wait until it has left its GPUs; return its status then."""
    cancel_runs([folder], reason)
    give_up_s = time.monotonic() + _STOPPED_S
    while True:
        status = read_status(folder)
        if status.state.final or time.monotonic() >= give_up_s:
            return status
        time.sleep(_POLL_S[executor] / 2)
