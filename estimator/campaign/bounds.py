"""What no plan can beat: by the GPUs that there are, and by the longest chain of jobs at their fastest."""

from .campaign import Campaign, Objective
from .chains import find_chains
from .placing.list_schedule import ListScheduler

_HALVINGS = 40
_DUST_S = 1e-6  # of the rounding of sums


def bound_of(campaign: Campaign) -> float:
    """Return a value of the objective that no plan is below: seconds from now, GPU-hours, or weighted seconds.

    Deadlines do not count: a plan may miss them.
    """
    match campaign.objective:
        case Objective.GPU_HOURS:
            return sum(min(mode.gpu_hours for mode in job.choices) for job in campaign.jobs)
        case Objective.COMPLETION:
            return _completion_bound(campaign)
        case Objective.END:
            return end_bound_s(campaign)


def end_bound_s(campaign: Campaign) -> float:
    """Return the least time from now in which all jobs could end if GPUs could be shared out like water.

    A job that is to end by T needs at least the GPU-seconds of its cheapest mode that is short enough for that, its chain
    of jobs at their fastest before and after it included.  T is the least time for which those of all jobs are no more than
    what the pools have free until then.  That is at least the area over the cap, and the longest job at its fastest.
    """
    chains = find_chains(campaign)
    jobs = list(campaign.to_plan)
    started = ListScheduler(campaign).started
    running_s = max((each.end_s - campaign.now_s for each in started), default=0.0)
    low = max([running_s, *(chain.whole_s for chain in chains.values())], default=0.0)
    free = _FreeGpus(campaign)
    pools: list[str | None] = [None, *campaign.pool] if len(campaign.pools) > 1 else [None]

    def is_enough(target_s: float) -> bool:
        for pool in pools:
            needed = 0.0
            for job in jobs:
                modes = [mode for mode in job.modes if pool is None or mode.pool == pool]
                if len(modes) == len(job.modes):
                    others_s = chains[job.name].before_s + chains[job.name].after_s
                    needed += min(
                        mode.gpus * mode.p50_s
                        for mode in job.modes
                        if mode.p50_s + others_s <= target_s + _DUST_S
                    )
            if needed > free.gpu_seconds(pool, target_s):
                return False
        return True

    if is_enough(low):
        return low
    high = max(low, 1.0)
    while not is_enough(high):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return low


class _FreeGpus:
    """The GPU-seconds that pools have free from now on, beside running jobs and what is taken."""

    def __init__(self, campaign: Campaign) -> None:
        self._now_s = campaign.now_s
        self._lines = ListScheduler(campaign).lines

    def gpu_seconds(self, pool: str | None, until_s: float) -> float:
        """Return those of one pool, or of all, until `until_s` from now."""
        end_s, total = self._now_s + until_s, 0.0
        for name, lines in self._lines.items():
            for line in lines if pool in (None, name) else ():
                for i, free in enumerate(line.free):
                    following_s = line.times[i + 1] if i + 1 < len(line.times) else end_s
                    total += max(free, 0) * max(min(following_s, end_s) - line.times[i], 0.0)
        return total


def _completion_bound(campaign: Campaign) -> float:
    """Return a bound on the weighted completion: the larger of each job by itself, and of all as one stream of GPU-seconds.

    The second is the squashed area bound (Turek et al., SPAA 1994): jobs by GPU-seconds per weight, one after another on
    all GPUs at once.
    """
    chains = find_chains(campaign)
    started = {each.job: each.end_s - campaign.now_s for each in ListScheduler(campaign).started}
    alone = sum(campaign.job[name].weight * end_s for name, end_s in started.items())
    stream, spent = alone, 0.0
    gpus = sum(pool.gpus for pool in campaign.pools)
    areas = [(min(mode.gpus * mode.p50_s for mode in job.modes), job) for job in campaign.to_plan]
    for area, job in sorted(areas, key=lambda each: each[0] / each[1].weight):
        spent += area
        stream += job.weight * spent / gpus
        alone += job.weight * (chains[job.name].before_s + chains[job.name].own_s)
    return max(alone, stream)


def gap(value: float, bound: float) -> float:
    """Return how far a value may be above the best one, as a share of the bound.

    >>> round(gap(105.0, 100.0), 3)
    0.05
    """
    return max(value / bound - 1, 0.0) if bound > 0 else 0.0
