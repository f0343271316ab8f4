"""How long the job is, as its run folder says: where a log does not say it, it follows from this."""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...logs.formats.job_length import JobLength
from ...run_folder.folder import JOB_FILE
from ...run_folder.registry import read_run_facts


def read_job_length(folder: Path) -> JobLength:
    """Return the steps, the epochs and the accumulation of the run in `folder`, as far as they are stated."""
    facts = read_run_facts(folder)
    shape = _mapping(facts.get("shape"))
    try:
        job = _mapping(json.loads((folder / JOB_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        job = {}
    steps, accumulation = facts.get("steps"), shape.get("accumulation")
    epochs = _mapping(job.get("training")).get("epochs")
    return JobLength(
        total_steps=steps if type(steps) is int else None,
        epochs=_number(epochs),
        accumulation=accumulation if type(accumulation) is int and accumulation > 0 else 1,
    )


def _mapping(values: object) -> Mapping[str, Any]:
    return values if isinstance(values, dict) else {}


def _number(value: object) -> float | None:
    try:
        return float(Fraction(str(value)))
    except (ValueError, ZeroDivisionError):
        return None
