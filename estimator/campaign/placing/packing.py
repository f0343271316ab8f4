"""A plan of given starts, packed into nodes: 4 + 4 GPUs that are free on two nodes are no node of 8.

Jobs with the most GPUs on a node are put down first, none before its given start, so that whole nodes are not broken by
small jobs; then each job in turn is moved to the earliest time at which it fits.
"""

from collections.abc import Mapping
from dataclasses import replace
from heapq import heapify, heappop, heappush

from ..campaign import Campaign, Mode, PlannedJob
from .list_schedule import Lines, ListScheduler, find_places, put

_PASSES = 2


def pack(
    campaign: Campaign, scheduler: ListScheduler, modes: Mapping[str, Mode], starts_s: Mapping[str, float]
) -> tuple[PlannedJob, ...] | None:
    """Return a plan in which jobs start as near to `starts_s` as the nodes allow, or earlier; None if a job finds no place."""
    lines = scheduler.copy_lines()
    planned: dict[str, PlannedJob] = {}
    names = sorted(modes, key=lambda name: (-modes[name].gpus_per_node, -modes[name].nodes, starts_s[name]))
    for name in names:
        earliest_s = max(starts_s[name], campaign.now_s, campaign.job[name].earliest_s)
        each = _put(campaign, lines, name, modes[name], earliest_s)
        if each is None:
            return None
        planned[name] = each
    for _ in range(_PASSES):
        if not _shift(campaign, scheduler, lines, planned):
            return None
    return *scheduler.started, *planned.values()


def _shift(
    campaign: Campaign, scheduler: ListScheduler, lines: Lines, planned: dict[str, PlannedJob]
) -> bool:
    """Move each job, the first one first, to the earliest time at which it fits after those that it waits for."""
    ends = {each.job: each.end_s for each in scheduler.started}
    waits = {name: sum(other not in ends for other in campaign.job[name].after) for name in planned}
    ready = [(planned[name].start_s, name) for name, count in waits.items() if not count]
    heapify(ready)
    while ready:
        _, name = heappop(ready)
        job, before = campaign.job[name], planned[name]
        put(lines, before, -1)
        earliest_s = max([campaign.now_s, job.earliest_s, *(ends[other] for other in job.after)])
        each = _put(campaign, lines, name, before.mode, earliest_s)
        if each is None:
            return False
        planned[name], ends[name] = each, each.end_s
        for follower in campaign.followers[name]:
            waits[follower] -= 1
            if not waits[follower]:
                heappush(ready, (planned[follower].start_s, follower))
    return True


def _put(campaign: Campaign, lines: Lines, name: str, mode: Mode, earliest_s: float) -> PlannedJob | None:
    """Put a job in this mode where it starts first."""
    job = replace(campaign.job[name], modes=(mode,))
    each = next(find_places(lines, job, earliest_s), None)
    if each:
        put(lines, each)
    return each
