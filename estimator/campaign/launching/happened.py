"""What has become of the jobs of a plan, and the campaign that is left to plan."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from ..campaign import Campaign, CampaignJob, Mode, PlannedJob, Started


class Fate(StrEnum):
    """Where a job of a campaign is."""

    WAITING = "not submitted"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Happened:
    """What has become of one job.  Times are Unix seconds; None is not known, or not yet.

    `state` is the word of `clusterplan status`, `left_s` what a running job still takes, `gpu_s` its GPU-seconds so far.
    `remedy` is what to do about one that has failed.
    """

    fate: Fate
    state: str
    start_s: float | None = None
    end_s: float | None = None
    left_s: float | None = None
    gpu_s: float = 0.0
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Rest:
    """What is left to plan: the campaign of jobs that run or can still run, and `blocked`, jobs by the failed one they wait for."""

    campaign: Campaign
    blocked: Mapping[str, str]


def find_rest(
    campaign: Campaign, planned: Mapping[str, PlannedJob], happened: Mapping[str, Happened]
) -> Rest:
    """Return what is left of a campaign after what `happened`; `planned` has the mode and nodes of each job that was submitted.

    Jobs that have ended are gone from it, running ones are started, also those that the campaign file no longer has.
    """
    fates = {name: each.fate for name, each in happened.items()}
    failed = {name for name, fate in fates.items() if fate is Fate.FAILED}
    blocked = _find_blocked(campaign, failed)
    gone = failed | blocked.keys() | {name for name, fate in fates.items() if fate is Fate.COMPLETED}
    jobs = [
        replace(
            job,
            after=tuple(name for name in job.after if name not in gone),
            started=_started(campaign, planned[job.name], happened[job.name])
            if fates.get(job.name) is Fate.RUNNING
            else None,
        )
        for job in campaign.jobs
        if job.name not in gone
    ]
    removed = [name for name, fate in fates.items() if fate is Fate.RUNNING and name not in campaign.job]
    jobs += [
        CampaignJob(name, (planned[name].mode,), started=_started(campaign, planned[name], happened[name]))
        for name in removed
        if planned[name].mode.pool in campaign.pool
    ]
    return Rest(replace(campaign, jobs=tuple(jobs)), blocked)


def _find_blocked(campaign: Campaign, failed: Iterable[str]) -> dict[str, str]:
    blocked, todo = dict[str, str](), list(failed)
    failed = set(todo)
    while todo:
        name = todo.pop()
        for follower in campaign.followers.get(name, ()):
            if follower not in blocked and follower not in failed:
                blocked[follower] = blocked.get(name, name)
                todo.append(follower)
    return blocked


def _started(campaign: Campaign, each: PlannedJob, what: Happened) -> Started:
    """Return a running job with the length that it now seems to have; on its nodes as long as the cap has these."""
    start_s = campaign.now_s if what.start_s is None else what.start_s
    mode = each.mode
    if what.left_s is not None:
        p50_s = max(campaign.now_s - start_s, 0.0) + what.left_s
        mode = Mode(
            mode.pool,
            mode.nodes,
            mode.gpus,
            p50_s,
            p50_s * mode.p90_s / max(mode.p50_s, 1e-9),
            mode.segments,
        )
    pool = campaign.pool.get(mode.pool)
    places = each.nodes if pool and all(place < len(pool.nodes) for place in each.nodes) else ()
    return Started(mode, start_s, places)


def find_overfull(campaign: Campaign) -> dict[str, int]:
    """Return the pools whose running jobs have more GPUs than the cap allows by now, and how many these have."""
    used = dict.fromkeys(campaign.pool, 0)
    for job in campaign.jobs:
        if job.started:
            used[job.started.mode.pool] += job.started.mode.gpus
    return {name: gpus for name, gpus in used.items() if gpus > campaign.pool[name].gpus}
