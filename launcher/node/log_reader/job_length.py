"""How long the job is, as its run folder says: where a log does not say it, it follows from this."""

import re
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from ....errors import UnreadableFile
from ...logs.formats.job_length import JobLength
from ...run_folder.records.job_tables import JobTables, read_job
from ...run_folder.records.run_facts import RunFacts, read_run_facts

_FRACTION = re.compile(r"\d{1,15}(?:[./]\d{1,15})?")


def read_job_length(folder: Path) -> JobLength:
    """Return the steps, the epochs and the accumulation of the run in `folder`, as far as they can be read."""
    facts, job = RunFacts(), JobTables()
    with suppress(UnreadableFile):
        facts = read_run_facts(folder)
    with suppress(UnreadableFile):
        job = read_job(folder)
    return JobLength(
        total_steps=facts.get("steps"),
        epochs=_number(job.get("training", {}).get("epochs")),
        accumulation=(facts.get("shape") or {}).get("accumulation") or 1,
    )


def _number(value: str | float | None) -> float | None:
    """Return the number of a value or of a fraction in words, such as 1/3."""
    if isinstance(value, str):
        return float(Fraction(value)) if _FRACTION.fullmatch(value) and "/0" not in value else None
    return value
