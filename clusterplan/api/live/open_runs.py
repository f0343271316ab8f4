"""The runs that have not ended, for programs that show them to many."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...errors import UnreadableFile
from ...launcher.run_folder.left_out import find_newest_of_run
from ...launcher.run_folder.registry import runs_to_show
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.status import Statuses, read_statuses
from ...launcher.slurm.pace import Pace

_PACE = Pace()


def read_open_runs(history: Path) -> dict[str, RunStatus]:
    """Return the runs of a history that have not ended, by id; what cannot be read is left out.

    Slurm is asked once for all of them, and every 30 s at most.  Raises HistoryError.
    """
    _PACE.look()
    shown = runs_to_show(history, "submit", 0)
    statuses = read_statuses(list(shown.runs), shown.runs, _PACE).statuses
    return {status.run: status for status in statuses}


def read_statuses_at_pace(history: Path, folders: Sequence[Path]) -> Statuses:
    """Return the statuses of some runs of a history in their order; Slurm is asked as by `read_open_runs`."""
    going_on = read_open_runs(history)
    ended, faults = read_statuses([folder for folder in folders if folder.name not in going_on])
    by_run = going_on | {status.run: status for status in ended}
    return Statuses([by_run[folder.name] for folder in folders if folder.name in by_run], faults)


def with_checkpoint(status: RunStatus) -> RunStatus:
    """Return a status with the newest checkpoint of its run, which is searched for on the disk."""
    with suppress(UnreadableFile, OSError):
        return replace(status, checkpoint=find_newest_of_run(status.folder))
    return status
