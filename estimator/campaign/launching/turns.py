"""Who waits for whom, so that the caps hold and no GPU stands idle, whatever ends early or late.

A job gets GPUs of the plan one by one, and waits until every job that has one of them before it has ended: not only for the
last of these, because that one may be cancelled while an earlier one still runs.  A planned start is no begin time: the job
would wait for it beside idle GPUs.  A job begins at a time only where the caps are closed or taken until then, or where
it may not start earlier.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..campaign import Busy, Campaign, PlannedJob

QUEUE = "queue"  # the reason of GPUs that other jobs of the queue have: it gives them back by itself
_DUST_S = 1e-3


@dataclass(frozen=True)
class Turn:
    """When a job's turn has come: `completed` are the jobs that must have succeeded, `ended` those whose GPUs it takes over.

    `begin_s` is the Unix time before which it may not begin; None if there is none.
    """

    completed: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    begin_s: float | None = None

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Return all jobs that it waits for."""
        return (*self.completed, *self.ended)


@dataclass
class _Gpu:
    """One GPU of a pool over time: the jobs that have it in order, and until when it is taken."""

    free_s: float = -math.inf
    jobs: list[str] = field(default_factory=list)
    closed_until_s: float = -math.inf


def find_turns(campaign: Campaign, planned: Sequence[PlannedJob]) -> dict[str, Turn]:
    """Return the turn of each job of a plan that has not started.

    >>> from clusterplan.estimator.campaign.campaign import CampaignJob, Mode, Pool
    >>> mode = Mode("gpu", 1, 8, 3600, 5400)
    >>> campaign = Campaign(0.0, (CampaignJob("a", (mode,)), CampaignJob("b", (mode,))), (Pool.of("gpu", 8, 8),))
    >>> find_turns(campaign, (PlannedJob("a", mode, 0.0, (0,)), PlannedJob("b", mode, 3600.0, (0,))))["b"].ended
    ('a',)
    """
    gpus = {
        (pool.name, place): [_Gpu() for _ in range(count)]
        for pool in campaign.pools
        for place, count in enumerate(pool.nodes)
    }
    turns = dict[str, Turn]()
    items: list[PlannedJob | Busy] = [*planned, *_closed(campaign)]
    for each in sorted(items, key=_order):
        if isinstance(each, Busy):
            _close(campaign, gpus, each)
            continue
        chosen = [gpu for place in each.nodes for gpu in _first_free(gpus[each.mode.pool, place], each)]
        if not each.is_started:
            turns[each.job] = _turn(campaign, each, chosen)
        for gpu in chosen:
            gpu.jobs.append(each.job)
            gpu.free_s = each.end_s
    return turns


def _turn(campaign: Campaign, each: PlannedJob, chosen: Sequence[_Gpu]) -> Turn:
    job = campaign.job[each.job]
    before = dict.fromkeys(name for gpu in chosen for name in gpu.jobs)
    begin_s = max([job.earliest_s, *(gpu.closed_until_s for gpu in chosen)], default=-math.inf)
    return Turn(
        job.after,
        tuple(name for name in before if name not in job.after),
        begin_s if begin_s > campaign.now_s else None,
    )


def _closed(campaign: Campaign) -> list[Busy]:
    return [busy for busy in campaign.busy if busy.reason != QUEUE and busy.end_s < math.inf]


def _order(each: PlannedJob | Busy) -> tuple[float, bool]:
    is_busy = isinstance(each, Busy)
    return (each.start_s, not is_busy)


def _first_free(gpus: Sequence[_Gpu], each: PlannedJob) -> list[_Gpu]:
    """Return as many GPUs of a node as the job has there: those free at its start that have been free for longest."""
    return sorted(gpus, key=lambda gpu: gpu.free_s)[: each.mode.gpus_per_node]


def _close(campaign: Campaign, gpus: Mapping[tuple[str, int], Sequence[_Gpu]], busy: Busy) -> None:
    counts = busy.gpus or campaign.pool[busy.pool].nodes
    for place, count in enumerate(counts):
        for gpu in sorted(gpus[busy.pool, place], key=lambda gpu: gpu.free_s)[:count]:
            gpu.closed_until_s = busy.end_s
            gpu.free_s = max(gpu.free_s, busy.end_s)
