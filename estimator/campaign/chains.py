"""Jobs that wait for others: their order, and the longest chain of jobs before and after each."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from .campaign import Campaign, CampaignJob


class Chain(NamedTuple):
    """Of a job, at the fastest of all: seconds from now until it can start, its own, and those of its longest followers."""

    before_s: float
    own_s: float
    after_s: float

    @property
    def whole_s(self) -> float:
        """Return the time from now to the end of the longest chain through it."""
        return self.before_s + self.own_s + self.after_s


def ordered_names(campaign: Campaign) -> list[str]:
    """Return the names of the jobs, each after those that it waits for; jobs in a circle are left out."""
    waits = {job.name: len(job.after) for job in campaign.jobs}
    names = [name for name, count in waits.items() if not count]
    for name in names:
        for follower in campaign.followers[name]:
            waits[follower] -= 1
            if not waits[follower]:
                names.append(follower)
    return names


def find_chains(campaign: Campaign) -> dict[str, Chain]:
    """Return the chain of each job that has not started."""
    names = [name for name in ordered_names(campaign) if not campaign.job[name].started]
    own_s = {name: fastest_s(campaign.job[name]) for name in names}
    before_s, after_s = dict[str, float](), dict[str, float]()
    for name in names:
        job = campaign.job[name]
        ends_s = [before_s[other] + own_s[other] for other in job.after if other in before_s]
        left_s = [
            started.start_s + started.mode.p50_s - campaign.now_s
            for other in job.after
            if (started := campaign.job[other].started)
        ]
        before_s[name] = max([job.earliest_s - campaign.now_s, 0.0, *ends_s, *left_s])
    for name in reversed(names):
        after_s[name] = max(
            (own_s[other] + after_s[other] for other in campaign.followers[name]), default=0.0
        )
    return {name: Chain(before_s[name], own_s[name], after_s[name]) for name in names}


def latest_starts_s(campaign: Campaign) -> Mapping[str, float]:
    """Return when each job has to start at its fastest for its deadline and those of its followers; infinite without one."""
    latest: dict[str, float] = {}
    for name in reversed(ordered_names(campaign)):
        job = campaign.job[name]
        if job.started:
            continue
        own_s = math.inf if job.deadline_s is None else job.deadline_s - min(mode.p90_s for mode in job.modes)
        followers_s = min((latest[other] for other in campaign.followers[name]), default=math.inf)
        latest[name] = min(own_s, followers_s - fastest_s(job))
    return latest


def fastest_s(job: CampaignJob) -> float:
    """Return the P50 of a job in its fastest mode."""
    return min(mode.p50_s for mode in job.choices)
