"""The findings of a checkup, as a table and as a dict."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .layout import Page

_MARKS = {"ok": "ok", "note": "note", "fault": "FAULT"}


@dataclass(frozen=True)
class Finding:
    """One thing that was checked: `state` is ok, note (can be lived with) or fault; `advice` says what to do."""

    name: str
    state: str
    text: str
    advice: str | None = None


def findings_as_dict(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return every finding, and whether none is a fault."""
    return {
        "fit": all(finding.state != "fault" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def write_findings(page: Page, findings: Sequence[Finding]) -> None:
    """Write the faults first, then the notes, then what is right; each with what to do below it."""
    order = list(reversed(_MARKS))
    for finding in sorted(findings, key=lambda finding: order.index(finding.state)):
        page.sentence(f"{_MARKS[finding.state]:5}  {finding.name:8}  {finding.text}")
        if finding.advice:
            page.sentence(f"{'':5}  {'':8}  -> {finding.advice}")
