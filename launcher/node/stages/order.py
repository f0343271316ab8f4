"""A stage begins once the one before it has passed its check."""

from collections.abc import Callable
from pathlib import Path

from ...run_folder.stages.stage import read_stage
from ..context import SHARED_DISK_POLL_S, wait_for

_SEEN_S = 60.0  # for a file of another node to be seen on the shared disk
_LONGEST_S = 10 * 365 * 86_400.0


def why_not_begun(folder: Path, is_stopped: Callable[[], bool], *, on_slurm: bool) -> str | None:
    """Return why the run may not begin after the stage before it; None if it may.

    Slurm starts it after that stage (`afterok`).  On this machine it waits here.
    """
    stage = read_stage(folder)
    if stage is None or stage.before is None:
        return None

    def is_decided() -> bool:
        return stage.has_passed_before or stage.why_not() is not None or is_stopped()

    wait_for(is_decided, _SEEN_S if on_slurm else _LONGEST_S, SHARED_DISK_POLL_S)
    if is_stopped() or stage.has_passed_before:
        return None
    return stage.why_not() or f"the stage before, {stage.before.name}, has not ended"
