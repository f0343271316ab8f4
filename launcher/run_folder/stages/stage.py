"""A run as a stage of a job: what run.json says of that, and check.json, the verdict at its end."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....estimator.stages.check import StageCheck, StageVerdict
from ..final_status import read_final_status
from ..folder import write_json

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
    def of(cls, facts: Mapping[str, Any]) -> "RunStage | None":
        """Return the stage that the values of run.json describe; None if the run is none."""
        values = facts.get("stage")
        if not isinstance(values, Mapping):
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
        final = read_final_status(self.before) if self.before else None
        if final is None or final["state"] == COMPLETED or self.before is None:
            return None
        why = f": {reason}" if (reason := final.get("reason")) else ""
        return f"the stage before, {self.before.name}, ended as {final['state']}{why}"

    @property
    def has_passed_before(self) -> bool:
        """Return whether no stage comes before, or the one before is completed."""
        final = read_final_status(self.before) if self.before else {"state": COMPLETED}
        return final is not None and final["state"] == COMPLETED


def write_verdict(folder: Path, verdict: StageVerdict) -> None:
    """Write the verdict on the stage in `folder`.  Raises OSError."""
    write_json(folder / CHECK_FILE, verdict.as_dict())


def read_verdict(folder: Path) -> StageVerdict | None:
    """Return the verdict on the stage in `folder`; None before its end."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return StageVerdict.of(json.loads((folder / CHECK_FILE).read_text(encoding="utf-8")))
    return None
