"""A run as a stage of a job: what run.json says of that, and check.json, the verdict at its end."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import UnreadableFile
from ....estimator.stages.check import StageCheck, StageVerdict
from ..final_status import FinalStatus, read_final_status
from ..folder import write_json
from ..records.files import read_record
from ..records.run_facts import RunFacts, read_run_facts

CHECK_FILE = "check.json"
COMPLETED = "completed"
CHECK_FAILED = "its check failed"


@dataclass(frozen=True)
class RunStage:
    """A run as a stage: its `share` of the job in words, the folder of the stage before, and the check at its end.

    None means that no stage comes before, or that nothing is checked.
    """

    share: str
    before: Path | None = None
    check: StageCheck | None = None

    @classmethod
    def of(cls, facts: RunFacts) -> "RunStage | None":
        """Return the stage that the values of run.json describe; None if the run is none."""
        values = facts.get("stage")
        if values is None:
            return None
        before, check = values.get("before"), values.get("check")
        return cls(
            str(values.get("share")),
            Path(before) if before else None,
            StageCheck.of(check) if check else None,
        )

    def as_facts(self) -> dict[str, Any]:
        """Return the stage as run.json holds it."""
        return {
            "stage": {
                "share": self.share,
                "before": str(self.before) if self.before else None,
                "check": self.check.as_dict() if self.check else None,
            }
        }

    def why_not(self) -> str | None:
        """Return why this stage may not begin: the one before ended otherwise than completed; None if it has not."""
        final = _read_end(self.before) if self.before else None
        if final is None or final.state == COMPLETED or self.before is None:
            return None
        why = f": {final.reason}" if final.reason else ""
        return f"the stage before, {self.before.name}, ended as {final.state}{why}"

    @property
    def has_passed_before(self) -> bool:
        """Return whether no stage comes before, or the one before is completed."""
        final = _read_end(self.before) if self.before else FinalStatus(COMPLETED)
        return final is not None and final.state == COMPLETED


def _read_end(folder: Path) -> FinalStatus | None:
    """Return how the stage before ended; None if it has not, or nobody can tell."""
    with suppress(UnreadableFile):
        return read_final_status(folder)
    return None


def read_stage(folder: Path) -> RunStage | None:
    """Return the stage that the run in `folder` is; None if it is none, or nobody can tell."""
    with suppress(UnreadableFile):
        return RunStage.of(read_run_facts(folder))
    return None


def write_verdict(folder: Path, verdict: StageVerdict) -> None:
    """Write the verdict on the stage in `folder`.  Raises OSError."""
    write_json(folder / CHECK_FILE, verdict.as_dict())


def read_verdict(folder: Path) -> StageVerdict | None:
    """Return the verdict on the stage in `folder`; None before its end.  Raises UnreadableFile."""
    return read_record(StageVerdict, folder / CHECK_FILE)
