"""What a plan is worth: deadlines first, then the objective."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...cluster_profiles.units import HOUR_S
from .campaign import Campaign, CampaignJob, Objective, PlannedJob

_DUST_S = 1.0  # of lateness that counts as none


class Score(NamedTuple):
    """The order of plans, the smaller the better: the first difference decides.

    `missed` is the weight of the jobs whose P90 is after their deadline, `late_s` by how much in all, weighted.  `main`
    is the objective, the end of all with some care for what may take longer, and `second` decides between plans that
    are equal in it.
    """

    missed: float
    late_s: float
    main: float
    second: float


def score_plan(campaign: Campaign, planned: Iterable[PlannedJob]) -> Score:
    """Return the score of a plan.

    The end of all and the weighted completion are in seconds from now, GPU-hours in hours; the second value is GPU-hours,
    or the end where these are the objective.
    """
    end_s, careful_s, gpu_hours, completion_s, missed, late_s = (
        campaign.now_s,
        campaign.now_s,
        0.0,
        0.0,
        0.0,
        0.0,
    )
    for each in planned:
        job = campaign.job[each.job]
        end_s, careful_s = max(end_s, each.end_s), max(careful_s, each.careful_end_s)
        gpu_hours += each.mode.gpu_hours
        completion_s += job.weight * (each.end_s - campaign.now_s)
        over_s = lateness_s(job, each)
        missed += job.weight * (over_s > 0)
        late_s += job.weight * over_s
    after_s = end_s - campaign.now_s
    match campaign.objective:
        case Objective.GPU_HOURS:
            return Score(missed, late_s, gpu_hours, after_s)
        case Objective.COMPLETION:
            return Score(missed, late_s, completion_s, gpu_hours)
        case Objective.END:
            return Score(missed, late_s, careful_s - campaign.now_s, gpu_hours)


def lateness_s(job: CampaignJob, planned: PlannedJob) -> float:
    """Return by how much the P90 of a planned job is after its deadline; 0 if it is not, or if there is none."""
    if job.deadline_s is None:
        return 0.0
    late_s = planned.late_end_s - job.deadline_s
    return late_s if late_s > _DUST_S else 0.0


def objective_value(campaign: Campaign, planned: Sequence[PlannedJob]) -> float:
    """Return the objective at P50, which a bound is held against: seconds from now, GPU-hours, or weighted seconds."""
    if campaign.objective is Objective.END:
        return max([campaign.now_s, *(each.end_s for each in planned)]) - campaign.now_s
    return score_plan(campaign, planned).main


def end_of_all_s(planned: Iterable[PlannedJob]) -> float:
    """Return the latest planned end, in Unix seconds.  At least one job has to be planned."""
    return max(each.end_s for each in planned)


def total_gpu_hours(planned: Iterable[PlannedJob]) -> float:
    """Return the GPU-hours of all planned jobs at P50."""
    return sum(each.mode.gpus * each.mode.p50_s for each in planned) / HOUR_S
