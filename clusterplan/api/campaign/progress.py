"""A submitted campaign as a value: the plan against what happened."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...estimator.campaign.launching.actions import Action
from ...estimator.campaign.launching.happened import Fate, Happened
from ...estimator.campaign.replan import Move
from ...launcher.campaigns.happened import look_at_runs
from ...launcher.campaigns.record import CampaignRecord, read_campaign_records
from ...launcher.run_folder.folder import history_path
from ...render.campaign.progress import progress_as_dict, write_progress
from ...render.layout import Page
from ..live.open_runs import read_statuses_at_pace
from ..result import Result


@dataclass(frozen=True, repr=False)
class CampaignProgress(Result):
    """A submitted campaign, the plan against what happened: its `record`, and what `happened` to each job by name.

    `moves` are jobs that start at another time or in another shape than before, `actions` what was done to the queue, or with
    a dry run would be; `blocked` jobs by the failed one that they wait for.  `is_changed` says whether anything is new.
    """

    record: CampaignRecord
    happened: Mapping[str, Happened]
    now_s: float
    moves: tuple[Move, ...] = ()
    actions: tuple[Action, ...] = ()
    blocked: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    history_remarks: tuple[str, ...] = ()
    is_changed: bool = True
    is_dry: bool = False

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return sentences on what could not be read, and the warnings of the checks."""
        return self.history_remarks

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan schedule --submit --json` and `--replan --json`."""
        return progress_as_dict(self)

    def write(self, page: Page) -> None:
        """Write the plan against what happened, what moved and why, and what to do about failed jobs."""
        write_progress(page, self)


def campaigns() -> tuple[CampaignRecord, ...]:
    """Return the records of all submitted campaigns, the latest first, each with its latest plan and what was last seen.

    Nothing is asked of Slurm: `replan(campaign, dry_run=True)` looks anew.

    Examples:
        >>> names = [record.campaign for record in campaigns()]
    """
    return tuple(read_campaign_records(history_path(os.environ))[0])


def look_at_campaign(history: Path, campaign: str | None = None) -> CampaignProgress:
    """Return a campaign as it is now, by default the latest one: the plan against what happened.  Nothing is changed.

    Slurm is asked every 30 s at most; where it does not answer, a note says so.  Raises InputError if no campaign of this
    name was submitted, and HistoryError.
    """
    records, faults = read_campaign_records(history)
    record = next((each for each in records if campaign in (None, each.campaign)), None)
    if record is None:
        why = (
            "no campaign was submitted"
            if campaign is None
            else f"campaign {campaign[:200]!r} was not submitted"
        )
        raise InputError(f"{why}: `clusterplan schedule CAMPAIGN.toml --submit` submits one")
    seen = look_at_runs(record, partial(read_statuses_at_pace, history))
    doubts = [f"{seen.silence}; what follows is as of each run's last sign of life"] if seen.silence else []
    return CampaignProgress(
        seen.record,
        seen.happened,
        time.time(),
        blocked=_find_blocked(seen.record, seen.happened),
        notes=(*doubts, *(str(fault) for fault in faults)),
    )


def _find_blocked(record: CampaignRecord, happened: Mapping[str, Happened]) -> dict[str, str]:
    """The jobs that cannot begin, by the failed one that they wait for."""
    by_failed = {name: name for name, what in happened.items() if what.fate is Fate.FAILED}
    for job in record.jobs:  # by start: what a job waits for comes before it
        failed = next((by_failed[name] for name in job.completed if name in by_failed), None)
        if failed and happened[job.job].fate in (Fate.WAITING, Fate.PENDING, Fate.BLOCKED):
            by_failed[job.job] = failed
    return {name: failed for name, failed in by_failed.items() if name != failed}
