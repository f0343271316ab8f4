"""The solver, where it is installed, as the planner takes it."""

import os
from importlib.util import find_spec

from ...estimator.campaign.campaign import Campaign
from ...estimator.campaign.greedy import Solution
from ...estimator.campaign.plan import Refine, Refined, Report

NOT_INSTALLED = 'planned by lists of jobs alone: `pip install "clusterplan[schedule]"` lets OR-tools CP-SAT search for a better plan'


def is_installed() -> bool:
    """Return whether OR-tools is installed here."""
    return find_spec("ortools") is not None


def make_refine(within_s: float) -> Refine:
    """Return the solver with a limit of so many seconds, on the processors that this process may use."""

    def refine(campaign: Campaign, solution: Solution, report: Report) -> Refined:
        from ...estimator.campaign.solver import refine as solver  # noqa: PLC0415  ortools

        effort = solver.Effort(within_s, workers=len(os.sched_getaffinity(0)))
        return solver.refine(campaign, solution, effort, report)

    return refine
