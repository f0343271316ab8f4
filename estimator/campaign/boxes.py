"""What to book for a campaign: boxes of GPUs x time that hold it, none of which another one beats in both."""

from dataclasses import dataclass, replace

from ...errors import InputError
from .campaign import Campaign, Pool
from .plan import Plan, make_plan

_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 128)
_WORTHWHILE = 0.98  # of the time of the next smaller box


@dataclass(frozen=True)
class Box:
    """A number of nodes for a time that holds a campaign: `p50_s` on the median, `p90_s` in nine of ten cases."""

    pool: str
    nodes: int
    gpus: int
    p50_s: float
    p90_s: float
    plan: Plan

    @property
    def meets_deadlines(self) -> bool:
        """Return whether every job of it meets its deadline at P90."""
        return not self.plan.late


def find_boxes(campaign: Campaign) -> list[Box]:
    """Return boxes of the campaign's only pool, the smallest first, up to the nodes that it has.

    A box with more GPUs is left out if it is hardly shorter.  What is taken of the pool does not count: a reservation is
    for the campaign alone.  Raises InputError if there are several pools, or if not even the largest box holds every job.
    """
    if len(campaign.pools) != 1:
        names = ", ".join(pool.name for pool in campaign.pools)
        raise InputError(
            f"a reservation is of one partition, and this campaign has caps on {names}: keep one of them"
        )
    pool = campaign.pools[0]
    boxes: list[Box] = []
    for nodes in (count for count in (*_COUNTS, len(pool.nodes)) if count <= len(pool.nodes)):
        smaller = Pool(pool.name, pool.nodes[:nodes])
        if boxes and boxes[-1].nodes == nodes:
            continue
        inside = _within(campaign, smaller)
        if inside is None:
            continue
        plan = make_plan(inside)
        span_s, p90_s = plan.end_s - campaign.now_s, plan.end_range_s.p90
        if boxes and p90_s > boxes[-1].p90_s * _WORTHWHILE:
            continue
        boxes.append(Box(pool.name, nodes, smaller.gpus, max(span_s, plan.end_range_s.p50), p90_s, plan))
    if not boxes:
        make_plan(replace(campaign, busy=()))  # says which job does not fit
    return boxes


def _within(campaign: Campaign, pool: Pool) -> Campaign | None:
    """Return the campaign on a smaller pool, free and open; None if one of its jobs has no shape that fits."""
    jobs = tuple(
        replace(
            job,
            started=None,
            modes=tuple(
                mode
                for mode in job.modes
                if mode.nodes <= len(pool.nodes)
                and mode.gpus_per_node <= max(pool.nodes)
                and mode.gpus <= pool.gpus
            ),
        )
        for job in campaign.jobs
    )
    if any(not job.modes for job in jobs):
        return None
    return replace(campaign, pools=(pool,), jobs=jobs, busy=())
