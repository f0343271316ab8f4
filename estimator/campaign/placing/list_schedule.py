"""Jobs put on the nodes one after another, each as early as it fits: every plan is made here, so every plan can be packed."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush

from ..campaign import Campaign, CampaignJob, Mode, PlannedJob, Started
from ..chains import find_chains, latest_starts_s
from .node_lines import NodeLine, find_place

Order = Mapping[str, tuple[float, ...]]  # of each job: the smallest goes first
Lines = dict[str, list[NodeLine]]  # the nodes of each pool
Choose = Callable[[CampaignJob, Iterator[PlannedJob]], PlannedJob | None]
ENDING_S = 60.0  # a job that has run for longer than its P50 may end at any moment


class ListScheduler:
    """The nodes of a campaign with all that is taken of them, on which lists of jobs are tried one after another."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.chains = find_chains(campaign)
        self.latest_starts_s = latest_starts_s(campaign)
        self.lines: Lines = {
            pool.name: [NodeLine(i, gpus, campaign.now_s) for i, gpus in enumerate(pool.nodes)]
            for pool in campaign.pools
        }
        self.started = tuple(
            _put_started(self.lines[job.started.mode.pool], campaign.now_s, job, job.started)
            for job in campaign.jobs
            if job.started
        )
        for busy in campaign.busy:
            taken: Iterable[int] = busy.gpus or campaign.pool[busy.pool].nodes
            for line, count in zip(self.lines[busy.pool], taken, strict=True):
                line.take(busy.start_s, busy.end_s, count)

    def copy_lines(self) -> Lines:
        """Return the nodes of each pool before any job is put on them."""
        return {name: [line.copy() for line in each] for name, each in self.lines.items()}

    def place(self, order: Order, choose: Choose) -> tuple[PlannedJob, ...] | None:
        """Return the plan in which jobs are put on the nodes in this order, each where it starts first in one of its modes.

        None is moved for a later one, and none starts before the jobs that it waits for have ended.  `choose` takes one of the
        places of a job, which come with the fewest GPU-hours first.  None if a job finds no place at all.
        """
        campaign, lines = self.campaign, self.copy_lines()
        ends = {each.job: each.end_s for each in self.started}
        waits = {job.name: sum(name not in ends for name in job.after) for job in campaign.to_plan}
        ready = [(order[name], name) for name, count in waits.items() if not count]
        heapify(ready)
        planned = list(self.started)
        while ready:
            _, name = heappop(ready)
            job = campaign.job[name]
            earliest_s = max([campaign.now_s, job.earliest_s, *(ends[other] for other in job.after)])
            each = choose(job, find_places(lines, job, earliest_s))
            if each is None:
                return None
            put(lines, each)
            for place in each.nodes:
                lines[each.mode.pool][place].drop_full_front()
            ends[name] = each.end_s
            planned.append(each)
            for follower in campaign.followers[name]:
                waits[follower] -= 1
                if not waits[follower]:
                    heappush(ready, (order[follower], follower))
        return tuple(planned)

    def in_time(self, target_s: float) -> Choose:
        """Return the choice of the fewest GPU-hours with which all can end `target_s` from now, and each by its deadline.

        A job of a chain may take its share of the target: that of its fastest time in the fastest time of the chain.  Where no
        mode is in time, it is the one that ends first.
        """
        now_s = self.campaign.now_s

        def choose(job: CampaignJob, places: Iterator[PlannedJob]) -> PlannedJob | None:
            chain = self.chains[job.name]
            due_s = now_s + target_s * (chain.before_s + chain.own_s) / max(chain.whole_s, 1e-9)
            due_s = min([due_s, *(self.latest_starts_s[name] for name in self.campaign.followers[job.name])])
            deadline_s = math.inf if job.deadline_s is None else job.deadline_s
            first: PlannedJob | None = None
            for each in places:
                if each.careful_end_s <= due_s and each.late_end_s <= deadline_s:
                    return each
                if first is None or each.careful_end_s < first.careful_end_s:
                    first = each
            return first

        return choose

    def by_price(self, price: float) -> Choose:
        """Return the choice of the smallest end + price x GPU-seconds / GPUs of the pool."""
        gpus = {pool.name: pool.gpus for pool in self.campaign.pools}

        def choose(_: CampaignJob, places: Iterator[PlannedJob]) -> PlannedJob | None:
            return min(
                places,
                key=lambda each: each.end_s + price * each.mode.gpus * each.mode.p50_s / gpus[each.mode.pool],
                default=None,
            )

        return choose


def with_modes(modes: Mapping[str, Mode]) -> Choose:
    """Return the choice of a given mode for each job."""

    def choose(job: CampaignJob, places: Iterator[PlannedJob]) -> PlannedJob | None:
        return next((each for each in places if each.mode == modes[job.name]), None)

    return choose


def find_places(lines: Lines, job: CampaignJob, earliest_s: float) -> Iterator[PlannedJob]:
    """Yield where a job starts first in each of its modes, those with the fewest GPU-hours first."""
    for mode in job.modes:
        place = find_place(lines[mode.pool], mode.nodes, mode.gpus_per_node, earliest_s, mode.p50_s)
        if place:
            start_s, nodes = place
            yield PlannedJob(job.name, mode, start_s, tuple(line.place for line in nodes))


def put(lines: Lines, each: PlannedJob, sign: int = 1) -> None:
    """Take the GPUs of a planned job, or with a sign of -1 give them back."""
    for place in each.nodes:
        lines[each.mode.pool][place].take(each.start_s, each.end_s, sign * each.mode.gpus_per_node)


def _put_started(lines: Sequence[NodeLine], now_s: float, job: CampaignJob, started: Started) -> PlannedJob:
    """Take the GPUs of a job that runs; where the cap is smaller than the job, others wait until it ends."""
    mode = started.mode
    if started.nodes:
        chosen = [line for line in lines if line.place in started.nodes]
    else:
        fits = [line for line in lines if line.free_gpus(now_s) >= mode.gpus_per_node]
        chosen = sorted(fits, key=lambda line: line.free_gpus(now_s))[: mode.nodes]
        if len(chosen) < mode.nodes:
            chosen = sorted(lines, key=lambda line: -line.free_gpus(now_s))[: mode.nodes]
    p50_s = max(mode.p50_s, now_s + ENDING_S - started.start_s)
    lasting = Mode(mode.pool, mode.nodes, mode.gpus, p50_s, max(p50_s, mode.p90_s), mode.segments)
    places = tuple(line.place for line in chosen)
    planned = PlannedJob(job.name, lasting, started.start_s, places, is_started=True)
    for line in chosen:
        line.take(now_s, planned.end_s, mode.gpus_per_node)
    return planned
