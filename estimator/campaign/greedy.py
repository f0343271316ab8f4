"""A plan without a solver: jobs put on the nodes, each in the fewest GPU-hours that still end in time, for many such times.

How long it searches is counted in places looked at and not in seconds, so that the same campaign gets the same plan.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .bounds import end_bound_s
from .campaign import Campaign, Objective, PlannedJob
from .placing.list_schedule import Choose, ListScheduler, Order
from .score import Score, score_plan

_MOST_LOOKS = 300_000  # jobs x modes x nodes of all lists that are tried: seconds
_FEWEST_LISTS, _MOST_LISTS, _LISTS_PER_JOB = 12, 1_500, 15
_GRID = 8  # targets between the bound and the best plan so far, twice
_LATER = (1.3, 2.0, 4.0)  # times the bound: targets that save GPU-hours
_PRICES = (0.0, 0.3, 1.0, 3.0)
_SEED = 16

Improve = Callable[["Solution"], None]


@dataclass(frozen=True)
class Solution:
    """A plan, and its score; `is_stopped` if Ctrl-C ended the search for a better one."""

    planned: tuple[PlannedJob, ...]
    score: Score
    is_stopped: bool = False


def plan_greedily(campaign: Campaign, improve: Improve | None = None, share: float = 1.0) -> Solution:
    """Return the best of all plans that are tried; `improve` is called with each that is better than those before it.

    Every job must have a mode that fits into its pool at some time.  `share` is that of the usual search.  Ctrl-C ends the
    search once there is a plan.
    """
    search = _Search(campaign, improve, share)
    try:
        search.begin()
        search.climb()
    except KeyboardInterrupt:
        if search.best is None:
            raise
        return replace(search.best, is_stopped=True)
    assert search.best is not None  # noqa: S101  every campaign has lists
    return search.best


class _Search:
    """The best plan so far with the order that it was made in, and how much of the search is left."""

    def __init__(self, campaign: Campaign, improve: Improve | None, share: float) -> None:
        self.campaign, self.improve = campaign, improve
        self.scheduler = ListScheduler(campaign)
        self.bound_s = end_bound_s(campaign)
        self.best: Solution | None = None
        self.order: Order = {}
        modes = sum(len(job.modes) for job in campaign.to_plan)
        looks = max(modes * sum(len(pool.nodes) for pool in campaign.pools), 1)
        most = share * min(_MOST_LOOKS / looks, _MOST_LISTS, _LISTS_PER_JOB * len(campaign.jobs))
        self._lists, self._most = 0, max(most, _FEWEST_LISTS)

    def begin(self) -> None:
        """Try every order with every way to choose modes."""
        for order in self.orders():
            for choose in self.choices():
                self.try_list(order, choose)

    def orders(self) -> list[Order]:
        """Return orders to begin with: long chains first, large jobs first, urgent ones first."""
        chains, latest = self.scheduler.chains, self.scheduler.latest_starts_s
        areas = {job.name: min(mode.gpus * mode.p50_s for mode in job.modes) for job in self.campaign.to_plan}
        longest: Order = {name: (-chain.own_s - chain.after_s,) for name, chain in chains.items()}
        largest: Order = {name: (-area,) for name, area in areas.items()}
        orders = [longest, largest]
        if self.campaign.objective is Objective.COMPLETION:  # Smith's rule
            orders.insert(0, {name: (areas[name] / self.campaign.job[name].weight,) for name in chains})
        if any(start_s < math.inf for start_s in latest.values()):
            urgent: Order = {name: (latest[name], *longest[name]) for name in chains}
            heavy: Order = {
                name: (-self.campaign.job[name].weight * (latest[name] < math.inf), *urgent[name])
                for name in chains
            }
            orders = [urgent, heavy, *orders]
        return orders

    def choices(self) -> Iterator[Choose]:
        """Yield ways to choose among modes: for ends between the bound and the best plan so far, and for later ones."""
        yield self.scheduler.in_time(self.bound_s)
        if self.campaign.objective is Objective.END:
            for _ in range(2):
                span_s = self._best_end_s() - self.bound_s
                for i in range(1, _GRID + 1):
                    yield self.scheduler.in_time(self.bound_s + span_s * i / _GRID)
        if self.campaign.objective is Objective.GPU_HOURS:
            yield self.scheduler.in_time(math.inf)
        if self.campaign.objective is Objective.COMPLETION:
            yield from map(self.scheduler.by_price, _PRICES)
        yield from (self.scheduler.in_time(self.bound_s * factor) for factor in _LATER)

    def try_list(self, order: Order, choose: Choose) -> None:
        """Put the jobs on the nodes, and keep the plan if it is better than all before it."""
        if self.best is not None and self._lists >= self._most:
            return
        self._lists += 1
        planned = self.scheduler.place(order, choose)
        if planned is None:
            return
        solution = Solution(planned, score_plan(self.campaign, planned))
        if self.best is None or solution.score < self.best.score:
            self.best, self.order = solution, order
            if self.improve:
                self.improve(solution)

    def climb(self) -> None:
        """Swap two jobs of the best order at a time, and choose modes anew, while any of the search is left."""
        names = sorted(self.order)
        rng = random.Random(_SEED)  # noqa: S311  a search
        while self._lists < self._most and len(names) > 1:
            order = dict(self.order)
            for _ in range(rng.choice((1, 1, 2, 3))):
                one, other = rng.sample(names, 2)
                order[one], order[other] = order[other], order[one]
            self.try_list(order, self._any_choice(rng))

    def _any_choice(self, rng: random.Random) -> Choose:
        span_s = self._best_end_s() - self.bound_s
        match self.campaign.objective:
            case Objective.COMPLETION:
                return self.scheduler.by_price(rng.choice(_PRICES) * rng.uniform(0.5, 1.5))
            case Objective.GPU_HOURS:
                return self.scheduler.in_time(rng.choice((math.inf, self.bound_s + span_s * rng.random())))
            case Objective.END:
                return self.scheduler.in_time(self.bound_s + span_s * rng.random())

    def _best_end_s(self) -> float:
        if self.best is None:
            return self.bound_s
        return max(each.careful_end_s for each in self.best.planned) - self.campaign.now_s
