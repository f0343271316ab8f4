"""The job file of a run as tables: `job.json`, of which some values are looked at before all are checked as a job file.

It is an open table: the keys of newer versions stay in it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from ....cluster_profiles.files.bounded_file import Opener, open_regular
from ..folder import JOB_FILE
from .files import read_record


class CommandTable(TypedDict, total=False):
    """The command of a job, and what is added to it at a restart."""

    command: tuple[str, ...] | None
    resume: tuple[str, ...] | None


class TrainingTable(TypedDict, total=False):
    """The passes over the data, a number or a fraction in words."""

    epochs: str | float | None


class JobTables(TypedDict, total=False):
    """The tables of a job file; docs/reference/job-file.md describes them."""

    name: str
    run: CommandTable
    training: TrainingTable
    checkpoint: Mapping[str, Any]


def read_job(folder: Path, opener: Opener = open_regular) -> JobTables:
    """Return the job of a run; an empty one of a run without a job file.  Raises UnreadableFile."""
    return read_record(JobTables, folder / JOB_FILE, opener) or JobTables()
