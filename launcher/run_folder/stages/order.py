"""What a run waits for before it begins: runs that must have completed, runs that must have ended, and a time."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import UnreadableFile
from ..final_status import FinalStatus, read_final_status
from ..folder import RUN_FILE, file_exists
from ..records.run_facts import RunFacts, read_run_facts

WAITS_FOR = "it waits for run"
_COMPLETED = "completed"


@dataclass(frozen=True)
class RunOrder:
    """The place of a run in a campaign: it begins after the runs in `completed` succeeded and those in `ended` ended."""

    completed: tuple[Path, ...] = ()
    ended: tuple[Path, ...] = ()
    begin_s: float | None = None

    @classmethod
    def of(cls, facts: RunFacts) -> "RunOrder | None":
        """Return the order that the values of run.json describe; None if the run has none."""
        values = facts.get("order")
        if values is None:
            return None
        completed, ended = values.get("completed") or (), values.get("ended") or ()
        return cls(tuple(map(Path, completed)), tuple(map(Path, ended)), values.get("begin_s"))

    def as_facts(self) -> dict[str, Any]:
        """Return the order as run.json holds it."""
        completed, ended = [str(each) for each in self.completed], [str(each) for each in self.ended]
        return {"order": {"completed": completed, "ended": ended, "begin_s": self.begin_s}}

    def why_not(self) -> str | None:
        """Return why the run may not begin any more: one that must complete ended otherwise; None if none did."""
        for folder in self.completed:
            final = _read_end(folder)
            if final is not None and final.state != _COMPLETED:
                return f"{WAITS_FOR} {folder.name}, which ended as {final.state}"
        return None

    def open_runs(self, *, on_slurm: bool) -> list[Path]:
        """Return the runs that it still waits for; on Slurm only those that must complete: Slurm knows when the others end."""
        ends = {folder: _read_end(folder) for folder in self.completed}
        waits = [folder for folder, final in ends.items() if final is None or final.state != _COMPLETED]
        if on_slurm:
            return waits
        return [*waits, *(folder for folder in self.ended if _goes_on(folder))]


def read_order(folder: Path) -> RunOrder | None:
    """Return what the run in `folder` waits for; None if for nothing, or if nobody can tell."""
    with suppress(UnreadableFile):
        return RunOrder.of(read_run_facts(folder))
    return None


def _goes_on(folder: Path) -> bool:
    return file_exists(folder / RUN_FILE) and _read_end(folder) is None


def _read_end(folder: Path) -> FinalStatus | None:
    with suppress(UnreadableFile):
        return read_final_status(folder)
    return None
