"""When planned jobs end, as ranges: a job that takes longer than its P50 keeps its GPUs from those that are to follow."""

import math
import random
from collections.abc import Mapping, Sequence

from ..ranges import Range
from .campaign import Campaign, PlannedJob

_DRAWS = 201
_SEED = 90
_Z90 = 1.2815515655446004


def end_ranges(campaign: Campaign, planned: Sequence[PlannedJob]) -> dict[str, Range]:
    """Return P10, P50 and P90 of the end of each job, in seconds from now.

    The durations are drawn 201 times, each job's by itself, log-normal with its P50 and P90.  A job starts as soon as the
    jobs that it waits for have ended and those that have its GPUs before it, but not before its earliest start.
    """
    before = _handovers(campaign, planned)
    rng = random.Random(_SEED)  # noqa: S311  draws of durations
    ends: dict[str, list[float]] = {}
    for each in sorted(planned, key=lambda each: (not each.is_started, each.start_s)):
        job, now_s = campaign.job[each.job], campaign.now_s
        spread = math.log(each.mode.p90_s / each.mode.p50_s) / _Z90 if each.mode.p50_s > 0 else 0.0
        spans_s = [each.mode.p50_s * math.exp(spread * rng.gauss(0, 1)) for _ in range(_DRAWS)]
        earliest_s = max(job.earliest_s - now_s, 0.0)
        waits = [ends[name] for name in {*before[each.job], *job.after} if name in ends]
        if each.is_started:
            ends[each.job] = [max(each.start_s - now_s + span_s, 0.0) for span_s in spans_s]
            continue
        ends[each.job] = [
            max([earliest_s, *(wait[i] for wait in waits)]) + span_s for i, span_s in enumerate(spans_s)
        ]
    return {name: Range.of_draws(draws) for name, draws in ends.items()}


def _handovers(campaign: Campaign, planned: Sequence[PlannedJob]) -> Mapping[str, set[str]]:
    """Return from which jobs each job takes its GPUs over, GPU by GPU."""
    holders: dict[tuple[str, int], list[tuple[float, str]]] = {
        (pool.name, place): [(campaign.now_s, "")] * gpus
        for pool in campaign.pools
        for place, gpus in enumerate(pool.nodes)
    }
    before: dict[str, set[str]] = {}
    for each in sorted(planned, key=lambda each: (not each.is_started, each.start_s)):
        before[each.job] = set()
        for place in each.nodes:
            slots = holders[each.mode.pool, place]
            slots.sort(key=lambda slot: slot[0], reverse=True)
            # Those that are free by its start and have been for the shortest time; others are taken by nobody in the plan.
            first = next((i for i, slot in enumerate(slots) if slot[0] <= each.start_s + 1e-3), 0)
            first = max(min(first, len(slots) - each.mode.gpus_per_node), 0)
            taken = slots[first : first + each.mode.gpus_per_node]
            before[each.job] |= {name for _, name in taken if name}
            slots[first : first + each.mode.gpus_per_node] = [(each.end_s, each.job)] * len(taken)
    return before
