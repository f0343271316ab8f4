"""What to book for a campaign: boxes of GPUs x time that hold it, none of which another one beats in both."""

from collections.abc import Sequence
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
    def is_in_time(self) -> bool:
        """Return whether every job in it meets its deadline at P90."""
        return not self.plan.late

    def use(self, booked_s: float) -> float:
        """Return the share of its GPU-hours that the jobs use if it is booked for so long."""
        return self.plan.gpu_hours * 3600 / (self.gpus * booked_s)


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
    for nodes in sorted({count for count in (*_COUNTS, len(pool.nodes)) if count <= len(pool.nodes)}):
        inside = _within(campaign, Pool(pool.name, pool.nodes[:nodes]))
        if inside is None:
            continue
        plan = make_plan(inside)
        end = plan.end_range_s
        if not boxes or end.p90 < boxes[-1].p90_s * _WORTHWHILE:
            boxes.append(Box(pool.name, nodes, inside.pools[0].gpus, end.p50, end.p90, plan))
    if not boxes:
        make_plan(replace(campaign, busy=()))  # says which job does not fit
    return boxes


def choose_box(boxes: Sequence[Box]) -> Box:
    """Return the box with the fewest GPU-hours at P90 in which all deadlines are met; without one, that which ends first."""
    in_time = [box for box in boxes if box.is_in_time]
    if in_time:
        return min(in_time, key=lambda box: box.gpus * box.p90_s)
    return min(boxes, key=lambda box: (box.plan.score.missed, box.p90_s))


def _within(campaign: Campaign, pool: Pool) -> Campaign | None:
    """Return the campaign on a smaller pool, free and open; None if one of its jobs has no shape that fits."""
    jobs = tuple(
        replace(
            job,
            started=None,
            modes=tuple(
                mode
                for mode in job.modes
                if sum(gpus >= mode.gpus_per_node for gpus in pool.nodes) >= mode.nodes
            ),
        )
        for job in campaign.jobs
    )
    if any(not job.modes for job in jobs):
        return None
    return replace(campaign, pools=(pool,), jobs=jobs, busy=())
