"""A campaign that happens: jobs take their true times, the planner knows estimates, and the plan is made anew every hour.

Event by event.  A job of the plan may start up to an hour before its time if its GPUs are free then, as it would if it was
submitted; jobs that are not due never overtake those before them.  A job that has run for ten minutes reports its
speed, so that its end is known; before that its estimate stands.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from campaign_jobs import POOL, TrueJob

from clusterplan.estimator.campaign.campaign import Campaign, CampaignJob, Mode, PlannedJob, Pool, Started
from clusterplan.estimator.campaign.plan import make_plan
from clusterplan.estimator.campaign.replan import replan

HOUR_S, SPEED_KNOWN_S = 3600.0, 600.0
ERROR_SD = 0.137  # of the logarithm: a mean error of 11 %, as docs/explanation/accuracy.md has it
P90_FACTOR = math.sqrt(1.8)  # P90 / P10 of 1.8 there


@dataclass
class Running:
    """A job that runs: its true end, and the nodes that it is on."""

    job: str
    mode: Mode
    start_s: float
    end_s: float
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a campaign: when all had ended, the GPU-hours, the end of each job, and how often plans were made."""

    end_s: float
    gpu_hours: float
    ends_s: dict[str, float]
    plans: int


def estimated_modes(job: TrueJob, most: int, rng: random.Random) -> tuple[Mode, ...]:
    """Return the shapes with estimated times: an error of the job, and one of each shape beside it."""
    common, own = (ERROR_SD * share for share in (0.8, 0.6))
    error = rng.gauss(0, common)
    modes = []
    for mode in job.modes(most):
        p50_s = mode.p50_s * math.exp(error + rng.gauss(0, own))
        modes.append(replace(mode, p50_s=p50_s, p90_s=p50_s * P90_FACTOR))
    return tuple(modes)


def simulate(jobs: Sequence[TrueJob], pool: Pool, seed: int, *, arrivals: bool = False) -> Outcome:
    """Return what comes of a campaign with estimates; with `arrivals` a job is known only once it is submitted."""
    rng = random.Random(seed)
    known = {job.name: CampaignJob(job.name, estimated_modes(job, pool.gpus, rng)) for job in jobs}
    truth = {job.name: job for job in jobs}
    waiting, running = dict(known), list[Running]()
    ends: dict[str, float] = {}
    plan: tuple[PlannedJob, ...] = ()
    now_s, next_plan_s, plans, gpu_s = 0.0, 0.0, 0, 0.0
    while waiting or running:
        for each in [each for each in running if each.end_s <= now_s]:
            running.remove(each)
            ends[each.job] = each.end_s
        arrived = {
            name: job for name, job in waiting.items() if not arrivals or truth[name].submit_s <= now_s
        }
        if now_s >= next_plan_s and (arrived or running):
            campaign = _campaign(arrived, running, known, pool, now_s)
            plan = replan(campaign, plan)[0].planned if plan else make_plan(campaign).planned
            plans, next_plan_s = plans + 1, now_s + HOUR_S
        for begun in _startable(plan, waiting, running, pool, now_s):
            seconds = truth[begun.job].seconds[begun.mode.gpus]
            running.append(Running(begun.job, begun.mode, now_s, now_s + seconds, begun.nodes))
            gpu_s += begun.mode.gpus * seconds
            del waiting[begun.job]
        later = [each.end_s for each in running] + [next_plan_s]
        later += [truth[name].submit_s for name in waiting if arrivals and not running]
        now_s = min(time_s for time_s in later if time_s > now_s)
    return Outcome(max(ends.values()), gpu_s / HOUR_S, ends, plans)


def _campaign(
    waiting: dict[str, CampaignJob],
    running: Sequence[Running],
    known: dict[str, CampaignJob],
    pool: Pool,
    now_s: float,
) -> Campaign:
    started = []
    for each in running:
        mode = each.mode
        if now_s - each.start_s >= SPEED_KNOWN_S:
            true_s = each.end_s - each.start_s
            mode = replace(mode, p50_s=true_s, p90_s=true_s)
        started.append(replace(known[each.job], started=Started(mode, each.start_s, each.nodes)))
    return Campaign(now_s, (*started, *waiting.values()), (pool,))


def _startable(
    plan: Sequence[PlannedJob],
    waiting: dict[str, CampaignJob],
    running: Sequence[Running],
    pool: Pool,
    now_s: float,
) -> list[PlannedJob]:
    """Return the jobs that start now, on the nodes that they get."""
    free = list(pool.nodes)
    for each in running:
        for place in each.nodes:
            free[place] -= each.mode.gpus_per_node
    starts, is_blocked = list[PlannedJob](), False
    for planned in plan:
        if planned.job not in waiting or planned.start_s > now_s + HOUR_S:
            continue
        is_due = planned.start_s <= now_s + 1
        if is_blocked and not is_due:
            continue
        need = planned.mode.gpus_per_node
        fits = [i for i, gpus in enumerate(free) if gpus >= need]
        chosen = sorted(fits, key=lambda i: free[i])[: planned.mode.nodes]
        if len(chosen) < planned.mode.nodes:
            is_blocked = True
            continue
        for place in chosen:
            free[place] -= need
        starts.append(replace(planned, nodes=tuple(chosen)))
    return starts


def run_by_habit(jobs: Sequence[TrueJob], pool: Pool, *, arrivals: bool = False) -> Outcome:
    """Return what comes of 8 GPUs for every job, first come first served, with EASY backfill.

    As all jobs ask for as much, a later job never fits where the first in line does not; those with fewer GPUs measured
    may be put into a hole if they end before the first in line could start.
    """
    running, now_s, gpu_s = list[Running](), 0.0, 0.0
    ends: dict[str, float] = {}
    queue = sorted(jobs, key=lambda job: job.submit_s) if arrivals else list(jobs)
    while queue or running:
        for each in [each for each in running if each.end_s <= now_s]:
            running.remove(each)
            ends[each.job] = each.end_s
        shadow_s = math.inf
        for job in list(queue):
            if arrivals and job.submit_s > now_s:
                break
            mode = job.on_eight()
            place = _free_node(running, pool, mode.gpus, now_s)
            if place is None:
                if shadow_s == math.inf:  # the first in line: nothing may delay it
                    shadow_s = _first_free_s(running, pool, mode.gpus)
                continue
            if shadow_s < math.inf and now_s + mode.p50_s > shadow_s:
                continue
            running.append(Running(job.name, mode, now_s, now_s + mode.p50_s, (place,)))
            gpu_s += mode.gpus * mode.p50_s
            queue.remove(job)
        later = [each.end_s for each in running]
        later += [job.submit_s for job in queue if arrivals and job.submit_s > now_s][:1]
        now_s = min(later, default=now_s)
    return Outcome(max(ends.values()), gpu_s / HOUR_S, ends, 0)


def _free_node(running: Sequence[Running], pool: Pool, gpus: int, now_s: float) -> int | None:
    free = list(pool.nodes)
    for each in running:
        if each.end_s > now_s:
            free[each.nodes[0]] -= each.mode.gpus
    fits = [i for i, left in enumerate(free) if left >= gpus]
    return min(fits, key=lambda i: free[i], default=None)


def _first_free_s(running: Sequence[Running], pool: Pool, gpus: int) -> float:
    times = sorted(each.end_s for each in running)
    return next((time_s for time_s in times if _free_node(running, pool, gpus, time_s) is not None), math.inf)


def pool_of(gpus: int) -> Pool:
    """Return the GPUs of a campaign, on nodes of 8."""
    return Pool.of(POOL, gpus, 8)
