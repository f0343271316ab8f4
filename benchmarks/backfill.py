"""A month of a mixed queue under a scheduler that plans as Slurm does: whole nodes for pending jobs, by their limits.

Event by event, and a piece of work of its own: nothing here is shared with clusterplan's forecast.  A pass of the scheduler
goes through the pending jobs by priority.  A job starts if the GPUs are free now and no planned job needs the node while
its limit lasts; otherwise whole nodes are planned for it, at the first end of a limit at which enough are free
(slurmctld's backfill.c: `node_space`, in steps of `bf_resolution`, within `bf_window`).  So `planned_s` is what
`squeue --start` prints.
"""

import heapq
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

NODES, GPUS_PER_NODE = 16, 8
HOUR_S, DAY_S = 3600.0, 86400.0
RESOLUTION_S, WINDOW_S = 60.0, DAY_S  # Slurm's default, and the longest limit, as its manual advises
_LIMITS_H = (1, 2, 4, 8, 12, 24)
_SIZES = ((1, 1, 50), (1, 2, 18), (1, 4, 14), (1, 8, 10), (2, 8, 5), (4, 8, 3))  # nodes, GPUs of each, weight


@dataclass
class User:
    """Somebody's habits: the sizes and limits of their jobs, how much of a limit they use, and their recent use."""

    name: str
    share: float
    limit_h: int
    weight: float
    used_gpu_s: float = 0.0


@dataclass
class Job:
    """One job; `nodes` and `start_s` once it runs, `planned_s` while it waits."""

    number: int
    user: User
    submit_s: float
    n: int
    gpus: int
    limit_s: float
    run_s: float
    start_s: float = math.inf
    planned_s: float | None = None
    nodes: tuple[int, ...] = ()

    @property
    def limit_end_s(self) -> float:
        return self.start_s + self.limit_s


@dataclass
class Cluster:
    """The running and pending jobs at `now_s`."""

    now_s: float = 0.0
    running: list[Job] = field(default_factory=list)
    pending: list[Job] = field(default_factory=list)

    def priority(self, job: Job) -> float:
        """Return age in days and a fair share that halves with use, as priority/multifactor mixes them."""
        fair = math.exp2(-job.user.used_gpu_s / (40 * GPUS_PER_NODE * HOUR_S))
        return min((self.now_s - job.submit_s) / DAY_S, 7.0) + 1.5 * fair

    def schedule(self) -> list[Job]:
        """Start what may start now and plan the rest; return what was started."""
        ends: list[list[tuple[float, int]]] = [[] for _ in range(NODES)]
        for job in self.running:
            for node in job.nodes:
                ends[node].append((max(job.limit_end_s, self.now_s + RESOLUTION_S), job.gpus))
        windows: list[list[tuple[float, float]]] = [[] for _ in range(NODES)]
        times = sorted({self.now_s, *(_up(end) for each in ends for end, _ in each)})
        self.pending.sort(key=lambda job: (-self.priority(job), job.submit_s))
        started = []
        for job in list(self.pending):
            place = _first_place(job, times, ends, windows, self.now_s)
            if place is None:
                job.planned_s = None
                continue
            time_s, nodes = place
            job.planned_s = time_s
            if time_s == self.now_s:
                job.start_s, job.nodes = time_s, nodes
                self.pending.remove(job)
                self.running.append(job)
                started.append(job)
                for node in nodes:
                    ends[node].append((job.limit_end_s, job.gpus))
                times = sorted({*times, _up(job.limit_end_s)})
                continue
            for node in nodes:
                windows[node].append((time_s, time_s + job.limit_s))
            times = sorted({*times, _up(time_s + job.limit_s)})
        return started


def _up(time_s: float) -> float:
    return math.ceil(time_s / RESOLUTION_S) * RESOLUTION_S


def _first_place(
    job: Job,
    times: list[float],
    ends: list[list[tuple[float, int]]],
    windows: list[list[tuple[float, float]]],
    now_s: float,
) -> tuple[float, tuple[int, ...]] | None:
    for time_s in times:
        if time_s > now_s + WINDOW_S:
            return None
        free = []
        for node in range(NODES):
            gpus = GPUS_PER_NODE - sum(used for end, used in ends[node] if end > time_s)
            if gpus >= job.gpus and not any(
                begin < time_s + job.limit_s and time_s < end for begin, end in windows[node]
            ):
                free.append((gpus, node))
        if len(free) >= job.n:
            return time_s, tuple(node for _, node in sorted(free)[: job.n])  # the fullest nodes first
    return None


def make_users(rng: random.Random, count: int = 25) -> list[User]:
    """Return users; half of them keep to a small share of their limits."""
    return [
        User(
            f"user{i}",
            share=rng.betavariate(0.9, 1.6),
            limit_h=rng.choice(_LIMITS_H),
            weight=rng.lognormvariate(0, 0.8),
        )
        for i in range(count)
    ]


def arrivals(rng: random.Random, users: list[User], days: float, load: float) -> Iterator[Job]:
    """Yield jobs in order of submission, more by day than at night; `load` is the share of all GPU-hours they use."""
    weights = [user.weight for user in users]
    sample = [_job(rng, 0, rng.choices(users, weights)[0], 0.0) for _ in range(10_000)]
    mean_gpu_s = sum(job.n * job.gpus * job.run_s for job in sample) / len(sample)
    per_s = load * NODES * GPUS_PER_NODE / mean_gpu_s
    time_s, number = 0.0, 0
    while time_s < days * DAY_S:
        time_s += rng.expovariate(2 * per_s)
        if rng.random() < 0.5 + 0.4 * math.sin(2 * math.pi * (time_s / DAY_S - 0.3)):
            number += 1
            yield _job(rng, number, rng.choices(users, weights)[0], time_s)


def _job(rng: random.Random, number: int, user: User, submit_s: float) -> Job:
    nodes, gpus, _ = rng.choices(_SIZES, [weight for *_, weight in _SIZES])[0]
    hours = user.limit_h if rng.random() < 0.7 else rng.choice(_LIMITS_H)
    luck = rng.random()
    share = 0.02 if luck < 0.12 else 1.0 if luck > 0.92 else min(user.share * rng.lognormvariate(0, 0.5), 1.0)
    limit_s = hours * HOUR_S
    return Job(number, user, submit_s, nodes, gpus, limit_s, max(limit_s * share, 30.0))


def run_month(
    seed: int,
    days: float,
    load: float,
    on_wait: Callable[[Cluster, Job], None],
    on_end: Callable[[Job], None],
) -> list[Job]:
    """Return all jobs of a month; `on_wait` sees the cluster when a job was submitted and could not start at once."""
    rng = random.Random(seed)
    users = make_users(rng)
    cluster, jobs = Cluster(), list[Job]()
    coming = list(arrivals(rng, users, days, load))
    ends: list[tuple[float, int, Job]] = []
    at = 0
    while at < len(coming) or ends:
        end_s = ends[0][0] if ends else math.inf
        if at < len(coming) and coming[at].submit_s <= end_s:
            job: Job | None = coming[at]
            at += 1
            _advance(cluster, users, coming[at - 1].submit_s)
            cluster.pending.append(coming[at - 1])
            jobs.append(coming[at - 1])
        else:
            *_, ended = heapq.heappop(ends)
            job = None
            _advance(cluster, users, end_s)
            cluster.running.remove(ended)
            ended.user.used_gpu_s += ended.n * ended.gpus * ended.run_s
            on_end(ended)
        for started in cluster.schedule():
            heapq.heappush(ends, (started.start_s + started.run_s, started.number, started))
        if job and math.isinf(job.start_s):
            on_wait(cluster, job)
    return jobs


def _advance(cluster: Cluster, users: list[User], now_s: float) -> None:
    """Let time pass: what users have used halves within a week (PriorityDecayHalfLife)."""
    left = math.exp2((cluster.now_s - now_s) / (7 * DAY_S))
    for user in users:
        user.used_gpu_s *= left
    cluster.now_s = now_s
