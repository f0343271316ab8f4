"""A run that is a stage of a job: which share, and the verdict on it."""

from collections.abc import Mapping
from typing import Any

from ...estimator.stages.check import StageVerdict
from ..runs.ending_text import Row

_WORDS = {True: "passed", False: "failed", None: "not known"}


def stage_rows(facts: Mapping[str, Any], verdict: StageVerdict | None) -> list[Row]:
    """Return rows for a run that is a stage of a job; none for any other."""
    stage = facts.get("stage")
    if not isinstance(stage, Mapping):
        return []
    findings = verdict.findings if verdict else ()
    return [
        ("stage", f"{stage.get('share')} of the steps", ""),
        *((f"  {finding.name}", _WORDS[finding.passed], finding.text) for finding in findings),
    ]


def verdict_as_json(verdict: StageVerdict | None) -> dict[str, Any] | None:
    """Return the verdict on a stage as `status --json` has it."""
    return verdict.as_dict() if verdict else None
