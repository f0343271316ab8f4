"""A submitted campaign as a chart: each job as planned last, and as it was."""

from functools import partial

from ...estimator.campaign.launching.happened import Fate
from ...launcher.campaigns.record import CampaignJobRecord
from ..charts.figure import Figure
from ..charts.gantt_chart import JobBars, draw_gantt
from .progress import Progress, happened_to, state_of
from .text import format_short

_KINDS = {Fate.COMPLETED: "good", Fate.FAILED: "bad"}


def draw_happened(progress: Progress) -> Figure:
    """Return the chart of a campaign's jobs over time."""
    jobs = [_bars(progress, job) for job in progress.record.jobs]
    spell = partial(format_short, now_s=progress.now_s)
    return draw_gantt("plan", "The latest plan, and what happened", jobs, progress.now_s, spell)


def _bars(progress: Progress, job: CampaignJobRecord) -> JobBars:
    what = happened_to(progress, job)
    return JobBars(
        name=job.job,
        state=state_of(progress, job),
        kind=_KINDS.get(what.fate, "run"),
        planned=(job.planned.start_s, job.planned.end_s),
        was=None if what.start_s is None else (what.start_s, what.end_s),
        left_s=what.left_s,
        deadline_s=job.deadline_s,
    )
