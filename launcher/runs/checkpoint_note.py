"""What is wrong with the checkpoints of a run, in a line for `clusterplan status RUN`."""

from pathlib import Path

from ..run_folder.checkpoint_files import describe_unrecognised
from ..run_folder.checkpoints import find_newest_checkpoint
from ..run_folder.launch import Launch
from ..run_folder.left_out import read_left_out
from .run_status import RunStatus
from .state import State


def read_checkpoint_note(status: RunStatus) -> str | None:
    """Return which checkpoints a start could not go on from, or what is there in place of one; None if all is well.

    Raises UnreadableFile.
    """
    if left_out := read_left_out(status.folder):
        names = ", ".join(dict.fromkeys(Path(save.path).name for save in left_out))
        return f"{names} could not be resumed from"
    has_ended_badly = status.state.final and status.state.state is not State.COMPLETED
    if not (status.restarts or has_ended_badly):  # the first start may not have come to a checkpoint yet
        return None
    launch = Launch.find(status.folder)
    output = Path(launch.output) if launch and launch.output else None
    if launch is None or output is None or find_newest_checkpoint(output, launch.checkpoint_pattern):
        return None
    return describe_unrecognised(output, launch.checkpoint_pattern)
