"""A submitted campaign as a value: the plan against what happened."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...estimator.campaign.launching.actions import Action
from ...estimator.campaign.launching.happened import Happened
from ...estimator.campaign.replan import Move
from ...launcher.campaigns.record import (
    CampaignRecord,
    read_campaign_records,
)
from ...launcher.run_folder.folder import history_path
from ...render.campaign.progress import progress_as_dict, write_progress
from ...render.layout import Page
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
