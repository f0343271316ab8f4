"""OR-tools CP-SAT on campaigns of a few jobs, with one worker and its own count of work, so that it is repeatable."""

import itertools
from dataclasses import replace

import pytest
from test_campaign import HOUR_S, NOW_S, amdahl, campaign, many, mode

from clusterplan.estimator.campaign.campaign import Busy, Campaign, CampaignJob, Objective, Started
from clusterplan.estimator.campaign.check import find_faults
from clusterplan.estimator.campaign.greedy import Solution, plan_greedily
from clusterplan.estimator.campaign.placing.list_schedule import ListScheduler, with_modes
from clusterplan.estimator.campaign.plan import Refined
from clusterplan.estimator.campaign.score import score_plan

pytest.importorskip("ortools")

from clusterplan.estimator.campaign.solver.model import PlanModel
from clusterplan.estimator.campaign.solver.refine import Effort, refine

EFFORT = Effort(within_s=60, workers=1, deterministic=1.0)


def improve(case: Campaign, start: Solution | None = None) -> Refined:
    return refine(case, start or plan_greedily(case), EFFORT, lambda *_: None)


def clumsy(case: Campaign) -> Solution:
    """Every job on the most GPUs, in the order of the file: habit."""
    modes = {job.name: job.modes[-1] for job in case.to_plan}
    order = {job.name: (float(number),) for number, job in enumerate(case.jobs)}
    planned = ListScheduler(case).place(order, with_modes(modes))
    return Solution(planned, score_plan(case, planned))


def test_a_clumsy_plan_becomes_a_good_one() -> None:
    case = many(8)
    start = clumsy(case)
    refined = improve(case, start)
    assert refined.solution.score.main < 0.9 * start.score.main
    assert not find_faults(case, refined.solution.planned)


@pytest.mark.parametrize("objective", list(Objective))
def test_no_plan_is_worse_than_the_one_it_starts_from(objective: Objective) -> None:
    case = many(6, objective=objective)
    start = plan_greedily(case)
    refined = improve(case, start)
    assert refined.solution.score <= start.score
    assert refined.bound <= refined.solution.score.main * 1.001


def test_the_bound_holds_for_the_best_of_all_lists() -> None:
    """Of four jobs every order and every shape is tried: no plan is below what the solver proved."""
    case = campaign(*(amdahl(f"j{i}", 1 + i, 0.7, most=8) for i in range(4)), gpus=8)
    refined = improve(case)
    scheduler = ListScheduler(case)
    best = min(
        score_plan(case, scheduler.place(dict(zip(order, ((float(n),) for n in range(4)), strict=True)), with_modes(modes))).main
        for order in itertools.permutations(case.job)
        for modes in (dict(zip(case.job, chosen, strict=True)) for chosen in itertools.product(*(job.modes for job in case.jobs)))
    )  # fmt: skip
    assert refined.bound <= best * 1.0001
    assert refined.solution.score.main <= best * 1.02


def test_deadlines_that_an_exact_solver_meets_are_met() -> None:
    """Two jobs are due when three could end: only one order and one pair of shapes holds both."""
    jobs = (
        CampaignJob("late", (mode(8, 9),)),
        CampaignJob("a", (mode(4, 5), mode(8, 3)), deadline_s=NOW_S + 6.2 * HOUR_S),
        CampaignJob("b", (mode(4, 5), mode(8, 3)), deadline_s=NOW_S + 6.2 * HOUR_S),
    )
    case = campaign(*jobs, gpus=8)
    assert improve(case, clumsy(case)).solution.score.missed == 0


def test_others_chains_and_running_jobs_are_kept_to() -> None:
    jobs = (
        CampaignJob("runs", (mode(8, 4),), started=Started(mode(8, 4), NOW_S - HOUR_S, (0,))),
        amdahl("first", 2),
        amdahl("second", 2, after=("first",)),
        amdahl("third", 3, earliest_s=NOW_S + HOUR_S),
    )
    busy = (Busy("gpu", NOW_S, NOW_S + 2 * HOUR_S, (0, 0, 8, 8)),)
    case = campaign(*jobs, busy=busy)
    refined = improve(case, clumsy(case))
    assert not find_faults(case, refined.solution.planned)


def test_a_hint_is_complete() -> None:
    """Hints that lack a variable do not help: the solver finds nothing at once (google/or-tools, parameter `hint`)."""
    case = replace(many(5), jobs=tuple(replace(job, deadline_s=NOW_S + 20 * HOUR_S) for job in many(5).jobs))
    start = plan_greedily(case)
    made = PlanModel.of(case, start)
    made.hint(start)
    proto = made.model.proto
    assert len(proto.solution_hint.vars) == len(proto.variables)
