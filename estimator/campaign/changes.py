"""What would let a job meet its deadline: a later date, more GPUs, or less to train; one change at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .campaign import Campaign, PlannedJob, Pool
from .check import find_faults
from .greedy import plan_greedily
from .plan import Plan

_MORE_NODES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_SEARCH_SHARE = 0.1


@dataclass(frozen=True)
class Change:
    """Of a job that misses its deadline at P90, the smallest change of each kind that would help; None if none does.

    `later_s` moves the deadline, `more_gpus` is added to the pool `pool`, `share` is the most of its steps that fit.
    """

    job: str
    later_s: float
    pool: str
    more_gpus: int | None
    share: float | None


def find_changes(plan: Plan) -> tuple[Change, ...]:
    """Return what would help each job that is late in a plan, in the order of the plan."""
    late = plan.late
    more = _find_more_gpus(plan, late)
    return tuple(
        Change(
            each.job,
            later_s=-(plan.slack_s(each) or 0.0),
            pool=each.mode.pool,
            more_gpus=more.get(each.job),
            share=_find_share(plan, each),
        )
        for each in late
    )


def _find_share(plan: Plan, each: PlannedJob) -> float | None:
    """Return the share of the job's time that is left between its start and its deadline, both at P90."""
    deadline_s = plan.campaign.job[each.job].deadline_s or 0.0
    start_s = plan.late_end_s(each) - each.mode.p90_s
    if each.is_started or start_s >= deadline_s:
        return None
    return (deadline_s - start_s) / each.mode.p90_s


def _find_more_gpus(plan: Plan, late: Sequence[PlannedJob]) -> dict[str, int]:
    """Return how many more GPUs of its pool would let each job be in time, without another being late instead."""
    more: dict[str, int] = {}
    for pool in {each.mode.pool for each in late}:
        waiting = {each.job for each in late if each.mode.pool == pool}
        for nodes in _MORE_NODES:
            if not waiting:
                break
            campaign = _with_more_nodes(plan.campaign, pool, nodes)
            solution = plan_greedily(campaign, share=_SEARCH_SHARE)
            wider = replace(plan, campaign=campaign, planned=solution.planned, score=solution.score)
            still_late = {each.job for each in wider.late}
            if find_faults(campaign, solution.planned) or not still_late <= {each.job for each in late}:
                continue
            for name in waiting - still_late:
                more[name] = nodes * max(plan.campaign.pool[pool].nodes)
            waiting &= still_late
    return more


def _with_more_nodes(campaign: Campaign, name: str, nodes: int) -> Campaign:
    def widen(pool: Pool) -> Pool:
        return replace(pool, nodes=pool.nodes + (max(pool.nodes),) * nodes) if pool.name == name else pool

    closed = tuple(
        replace(busy, gpus=busy.gpus + (0,) * nodes) if busy.pool == name and busy.gpus else busy
        for busy in campaign.busy
    )
    return replace(campaign, pools=tuple(map(widen, campaign.pools)), busy=closed)
