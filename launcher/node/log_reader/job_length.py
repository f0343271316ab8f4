"""How long the job is, as its run folder says: where a log does not say it, it follows from this."""

import re
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ....errors import UnreadableFile
from ...logs.formats.job_length import JobLength
from ...run_folder.folder import JOB_FILE
from ...run_folder.records.files import read_record
from ...run_folder.records.run_facts import RunFacts, read_run_facts

_FRACTION = re.compile(r"\d{1,15}(?:[./]\d{1,15})?")


@dataclass(frozen=True)
class _Training:
    epochs: str | float | None = None


@dataclass(frozen=True)
class _Job:
    training: _Training = _Training()


def read_job_length(folder: Path) -> JobLength:
    """Return the steps, the epochs and the accumulation of the run in `folder`, as far as they can be read."""
    facts, job = RunFacts(), _Job()
    with suppress(UnreadableFile):
        facts = read_run_facts(folder)
    with suppress(UnreadableFile):
        job = read_record(_Job, folder / JOB_FILE) or job
    return JobLength(
        total_steps=facts.get("steps"),
        epochs=_number(job.training.epochs),
        accumulation=(facts.get("shape") or {}).get("accumulation") or 1,
    )


def _number(value: str | float | None) -> float | None:
    """Return the number of a value or of a fraction in words, such as 1/3."""
    if isinstance(value, str):
        return float(Fraction(value)) if _FRACTION.fullmatch(value) and "/0" not in value else None
    return value
