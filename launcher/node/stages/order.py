"""A run begins once those that it waits for have ended: a stage the one before it, a job of a campaign several."""

import time
from collections.abc import Callable
from pathlib import Path

from ...run_folder.stages.order import RunOrder, read_order
from ...run_folder.stages.stage import read_stage
from ..context import SHARED_DISK_POLL_S, wait_for

_SEEN_S = 60.0  # for a file of another node to be seen on the shared disk
_LONGEST_S = 10 * 365 * 86_400.0


def why_not_begun(folder: Path, is_stopped: Callable[[], bool], *, on_slurm: bool) -> str | None:
    """Return why the run may not begin after those that it waits for; None if it may.

    Slurm starts it after these (`afterok`, `afterany`, `begin`).  On this machine it waits here.
    """
    if order := read_order(folder):
        return _why_not_in_order(order, is_stopped, on_slurm=on_slurm)
    stage = read_stage(folder)
    if stage is None or stage.before is None:
        return None

    def is_decided() -> bool:
        return stage.has_passed_before or stage.why_not() is not None or is_stopped()

    wait_for(is_decided, _SEEN_S if on_slurm else _LONGEST_S, SHARED_DISK_POLL_S)
    if is_stopped() or stage.has_passed_before:
        return None
    return stage.why_not() or f"the stage before, {stage.before.name}, has not ended"


def _why_not_in_order(order: RunOrder, is_stopped: Callable[[], bool], *, on_slurm: bool) -> str | None:
    def is_decided() -> bool:
        is_early = not on_slurm and order.begin_s is not None and time.time() < order.begin_s
        return is_stopped() or bool(order.why_not()) or not (is_early or order.open_runs(on_slurm=on_slurm))

    wait_for(is_decided, _SEEN_S if on_slurm else _LONGEST_S, SHARED_DISK_POLL_S)
    if is_stopped():
        return None
    if why_not := order.why_not():
        return why_not
    waits = order.open_runs(on_slurm=on_slurm)
    return f"run {waits[0].name}, which it waits for, has not ended" if waits else None
