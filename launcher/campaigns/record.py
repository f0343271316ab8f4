"""The record of a submitted campaign: `history.campaigns/NAME/plan.json`, replaced in one step before and after each job.

So a process that is killed at any moment leaves a record from which the next one goes on: a job of which a submission was
begun has `submitting_s`, and the run of it, if there is one, names campaign and job in its run.json.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from ...cluster_profiles.configuration import find_group
from ...cluster_profiles.modes import make_folder, open_file, user_name
from ...errors import InputError, RunFolderError, UnreadableFile
from ...estimator.campaign.campaign import Mode, PlannedJob
from ...estimator.campaign.launching.actions import Booking
from ...estimator.campaign.launching.turns import Turn
from ..run_folder.folder import slug, write_json
from ..run_folder.records.files import read_record
from ..run_folder.records.values import Count, Positive, Seconds

SCHEMA = 1
PLAN_FILE, LOCK_FILE = "plan.json", "lock"
_MOST_BYTES = 32 << 20  # 5,000 jobs
_MODE_OF_GROUP = 0o3770


@dataclass(frozen=True)
class PlannedRecord:
    """A job as a plan has it: where, when, on how many GPUs; `places` are the numbers of the nodes within the cap."""

    cap: str
    nodes: Positive
    gpus: Positive
    start_s: Seconds
    p50_s: Seconds
    p90_s: Seconds
    segments: Count = 1
    places: tuple[Count, ...] = ()

    @classmethod
    def of(cls, each: PlannedJob) -> Self:
        """Return the record of a planned job."""
        mode = each.mode
        return cls(
            mode.pool, mode.nodes, mode.gpus, each.start_s, mode.p50_s, mode.p90_s, mode.segments, each.nodes
        )

    def as_planned(self, job: str) -> PlannedJob:
        """Return the planned job."""
        mode = Mode(self.cap, self.nodes, self.gpus, self.p50_s, self.p90_s, self.segments)
        return PlannedJob(job, mode, self.start_s, tuple(self.places))

    @property
    def end_s(self) -> float:
        """Return the planned end: start + P50."""
        return self.start_s + self.p50_s


@dataclass(frozen=True)
class CampaignJobRecord:
    """A job of a submitted campaign: as `first` planned, as planned last and `before` that, what it waits for, its runs.

    `runs` are folders, the latest last.  `submitting_s` is when its submission was begun, None once it is done.  `state`,
    `start_s`, `end_s` and `gpu_s` (GPU-seconds) are what was last seen of it.
    """

    job: str
    first: PlannedRecord
    planned: PlannedRecord
    before: PlannedRecord | None = None
    completed: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    begin_s: Seconds | None = None
    runs: tuple[str, ...] = ()
    submitting_s: Seconds | None = None
    deadline_s: Seconds | None = None
    state: str = "not submitted"
    start_s: Seconds | None = None
    end_s: Seconds | None = None
    gpu_s: Seconds = 0.0

    @property
    def folder(self) -> Path | None:
        """Return the folder of its latest run."""
        return Path(self.runs[-1]) if self.runs else None

    @property
    def booking(self) -> Booking:
        """Return what was submitted."""
        turn = Turn(tuple(self.completed), tuple(self.ended), self.begin_s)
        return Booking(self.planned.as_planned(self.job), turn)


@dataclass(frozen=True)
class CampaignRecord:
    """A submitted campaign: where it came from, how its jobs are submitted, its caps in GPUs, and its jobs by start.

    `planned_s` is the moment of the latest plan.
    """

    schema: Count
    campaign: str
    user: str
    cwd: str
    root: str
    executor: str
    submitted_s: Seconds
    planned_s: Seconds
    caps: Mapping[str, Count]
    jobs: tuple[CampaignJobRecord, ...]
    file: str | None = None

    @property
    def by_name(self) -> dict[str, CampaignJobRecord]:
        """Return the jobs by name."""
        return {job.job: job for job in self.jobs}

    def with_job(self, job: CampaignJobRecord) -> Self:
        """Return the record with one job in the place of that of its name."""
        return replace(self, jobs=tuple(job if each.job == job.job else each for each in self.jobs))


def campaigns_folder(history: Path) -> Path:
    """Return the folder of the records of a history: `history.campaigns/` beside history.db."""
    return history.with_suffix(".campaigns")


def record_folder(history: Path, campaign: str) -> Path:
    """Return the folder of the record of a campaign."""
    return campaigns_folder(history) / slug(campaign)


def read_campaign_record(folder: Path) -> CampaignRecord | None:
    """Return the record in a folder; None if there is none.  Raises UnreadableFile, also for that of a newer version."""
    record = read_record(CampaignRecord, folder / PLAN_FILE, most_bytes=_MOST_BYTES)
    if record and record.schema > SCHEMA:
        raise UnreadableFile(folder / PLAN_FILE, f"is of a newer clusterplan: schema {record.schema}")
    return record


def read_campaign_records(history: Path) -> tuple[list[CampaignRecord], list[UnreadableFile]]:
    """Return the records of all campaigns, the latest first, and the faults of those that cannot be read."""
    records, faults = list[CampaignRecord](), list[UnreadableFile]()
    with suppress(OSError):
        for folder in campaigns_folder(history).iterdir():
            try:
                records += filter(None, [read_campaign_record(folder)])
            except UnreadableFile as fault:
                faults.append(fault)
    return sorted(records, key=lambda record: -record.submitted_s), faults


def write_campaign_record(folder: Path, record: CampaignRecord) -> None:
    """Replace the record in a folder, and sync it to the disk.  Raises RunFolderError."""
    try:
        write_json(folder / PLAN_FILE, asdict(record))
    except OSError as error:
        raise RunFolderError(f"{folder}: the campaign cannot be written down: {error.strerror}") from None


@contextmanager
def lock_campaign(history: Path, campaign: str) -> Iterator[Path]:
    """Give the folder of a campaign's record to this process alone while the block runs.

    The lock goes with the process, however it ends.  Raises InputError if another process has it, or the campaign is
    another user's, and RunFolderError.
    """
    folder, group = record_folder(history, campaign), find_group(history)
    try:
        make_folder(folder.parent, group, _MODE_OF_GROUP)
        make_folder(folder, None)
        if (owner := folder.stat().st_uid) != os.geteuid():
            raise InputError(
                f"campaign {campaign!r} is {user_name(owner)}'s: give yours another `name` in its file"
            )
        file = open_file(folder / LOCK_FILE, os.O_CREAT)
    except OSError as error:
        raise RunFolderError(f"{folder}: the campaign cannot be written down: {error.strerror}") from None
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"campaign {campaign!r} is being submitted or planned anew by another process: wait for its end"
            ) from None
        except OSError as error:
            raise RunFolderError(f"{folder}: a lock cannot be kept there: {error.strerror}") from None
        yield folder
    finally:
        os.close(file)
