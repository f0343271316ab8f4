"""The plan of a campaign: who gets which shape when, how good that is, and what is uncertain about it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from ...errors import EstimateError
from ..ranges import Range
from .bounds import bound_of, gap
from .campaign import Campaign, PlannedJob
from .check import check_campaign, find_faults
from .ends import end_ranges
from .greedy import Solution, plan_greedily
from .score import Score, objective_value, total_gpu_hours

_GRID_SHARE = 0.005  # a solver's bound is rounded down by this much at most, or it is not called proven

_NEAR = 0.001  # of the bound: no solver has to look for a better plan

Report = Callable[[Solution, float | None], None]  # a better plan, and what no plan is below


@dataclass(frozen=True)
class Refined:
    """What a solver made of a plan: the best one, a bound that it proved, and whether it proved the plan best on its grid."""

    solution: Solution
    bound: float | None
    is_proven: bool


Refine = Callable[[Campaign, Solution, Report], Refined]


@dataclass(frozen=True)
class Plan:
    """A plan of `campaign`: `planned` by start, its score, and `bound`, the value of the objective that no plan is below.

    `solver` says what made it; `is_proven` if the solver showed that no other plan is better.
    """

    campaign: Campaign
    planned: tuple[PlannedJob, ...]
    score: Score
    bound: float
    solver: str
    is_proven: bool = False

    @cached_property
    def ends_s(self) -> Mapping[str, Range]:
        """Return P10, P50 and P90 of the end of each job, in seconds from now."""
        return end_ranges(self.campaign, self.planned)

    @property
    def value(self) -> float:
        """Return the objective at P50: seconds from now, GPU-hours, or weighted seconds."""
        return objective_value(self.campaign, self.planned)

    @property
    def gap(self) -> float:
        """Return how far the objective may be above the best one, as a share of the bound."""
        return 0.0 if self.is_proven else gap(self.value, self.bound)

    @property
    def end_s(self) -> float:
        """Return the planned end of all jobs, in Unix seconds."""
        return max((each.end_s for each in self.planned), default=self.campaign.now_s)

    @property
    def end_range_s(self) -> Range:
        """Return P10, P50 and P90 of the end of all, in seconds from now, each that of the job that is last at it."""
        ends = self.ends_s.values()
        return Range(*(max(getattr(each, q) for each in ends) for q in ("p10", "p50", "p90")))

    @property
    def gpu_hours(self) -> float:
        """Return the GPU-hours of all jobs at P50."""
        return total_gpu_hours(self.planned)

    @property
    def late(self) -> tuple[PlannedJob, ...]:
        """Return the jobs that do not meet their deadline at P90."""
        return tuple(each for each in self.planned if (slack := self.slack_s(each)) is not None and slack < 0)

    def slack_s(self, each: PlannedJob) -> float | None:
        """Return the time between the P90 of a job's end and its deadline; None without a deadline."""
        job = self.campaign.job[each.job]
        return None if job.deadline_s is None else job.deadline_s - self.late_end_s(each)

    def late_end_s(self, each: PlannedJob) -> float:
        """Return the P90 of a job's end, in Unix seconds: late jobs before it count."""
        return self.campaign.now_s + self.ends_s[each.job].p90

    def gpus_in_use(self, pool: str) -> list[tuple[float, int]]:
        """Return from when on how many GPUs of a pool are in use, in order of time; the last number is 0."""
        changes: dict[float, int] = {}
        for each in self.planned:
            if each.mode.pool == pool:
                changes[each.start_s] = changes.get(each.start_s, 0) + each.mode.gpus
                changes[each.end_s] = changes.get(each.end_s, 0) - each.mode.gpus
        steps, used = list[tuple[float, int]](), 0
        for time_s in sorted(changes):
            used += changes[time_s]
            steps.append((time_s, used))
        return steps


def make_plan(campaign: Campaign, refine: Refine | None = None, report: Report | None = None) -> Plan:
    """Return the best plan that is found: by lists of jobs alone, or made better by `refine`.

    `report` is called with each plan that is better than those before it.  Raises InputError for a campaign that cannot be
    planned, such as one with a job that fits nowhere.

    >>> from clusterplan.estimator.campaign.campaign import CampaignJob, Mode, Pool
    >>> modes = (Mode("gpu", 1, 4, 7200, 9000), Mode("gpu", 1, 8, 4000, 5000))
    >>> plan = make_plan(Campaign(0.0, (CampaignJob("a", modes), CampaignJob("b", modes)), (Pool.of("gpu", 8, 8),)))
    >>> [(each.job, each.mode.gpus, each.start_s) for each in plan.planned], round(plan.gap, 3)
    ([('a', 4, 0.0), ('b', 4, 0.0)], 0.0)
    """
    check_campaign(campaign)
    bound = bound_of(campaign)
    tell: Report = report or (lambda *_: None)
    solution = plan_greedily(campaign, lambda better: tell(better, bound))
    solver, is_proven = "list schedule", False
    is_near = not solution.score.missed and gap(objective_value(campaign, solution.planned), bound) < _NEAR
    if refine is not None and any(campaign.to_plan) and not (is_near or solution.is_stopped):
        refined = refine(campaign, solution, lambda better, proven: tell(better, max(bound, proven or 0.0)))
        solver, is_proven = "CP-SAT", refined.is_proven and not refined.solution.score.missed
        solution = refined.solution
        # Of a plan that misses deadlines the solver's bound holds only beside plans that miss as few.
        bound = max(bound, refined.bound or 0.0)
    return build_plan(campaign, solution, bound, solver, is_proven=is_proven)


def build_plan(
    campaign: Campaign, solution: Solution, bound: float, solver: str, *, is_proven: bool = False
) -> Plan:
    """Return the plan of a solution.  Raises EstimateError if it does not keep to its campaign, which is a fault of ours."""
    planned = tuple(sorted(solution.planned, key=lambda each: (each.start_s, each.job)))
    if faults := find_faults(campaign, planned):
        raise EstimateError(f"the plan does not keep to its campaign: {faults[0]}: please report this")
    value = objective_value(campaign, planned)
    is_best = is_proven and math.isclose(value, max(bound, 1e-9), rel_tol=_GRID_SHARE)
    return Plan(campaign, planned, solution.score, bound, solver, is_best)
