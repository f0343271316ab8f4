"""The queue of a cluster at one moment, as frozen values: nodes, running and pending jobs, reservations, rules."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self


@dataclass(frozen=True)
class Request:
    """What a job needs on each of its nodes, and for how long.

    `gpus`, `cpus` and `memory_mib` are those of one node, and `gpu_type` is Slurm's name, "" for any.  `limit_s` is
    infinite for a job without a limit; Slurm may shorten it to `time_min_s`.  The job runs in the first of `partitions`
    that lets it start; `only_nodes` and `features` restrict its nodes if they are not empty.
    """

    nodes: int
    gpus: int
    limit_s: float
    partitions: tuple[str, ...]
    gpu_type: str = ""
    cpus: int = 1
    memory_mib: int = 0
    exclusive: bool = False
    time_min_s: float | None = None
    only_nodes: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    reservation: str = ""

    @property
    def shortest_s(self) -> float:
        """Return the shortest time for which the job starts."""
        return min(self.time_min_s or math.inf, self.limit_s)


@dataclass(frozen=True)
class Node:
    """One node: what it has, and what Slurm has given away of it; `is_up` if jobs may start on it."""

    name: str
    partitions: frozenset[str]
    gpus: tuple[tuple[str, int], ...]
    cpus: int
    memory_mib: int
    is_up: bool = True
    features: frozenset[str] = frozenset()
    used_gpus: int = 0
    used_cpus: int = 0
    used_memory_mib: int = 0

    @property
    def gpus_in_all(self) -> int:
        """Return its GPUs of every type."""
        return sum(count for _, count in self.gpus)


@dataclass(frozen=True)
class RunningJob:
    """A job that holds `request` on each of `nodes` since `start_s`, in Unix seconds."""

    job_id: str
    user: str
    request: Request
    nodes: tuple[str, ...]
    start_s: float

    @property
    def limit_end_s(self) -> float:
        """Return when its limit ends it."""
        return self.start_s + self.request.limit_s


@dataclass(frozen=True)
class PendingJob:
    """A job in the queue, or `count` like elements of an array, at most `at_once` of which run together.

    It starts neither before `earliest_s` nor before the jobs in `after` have ended.  `is_blocked` if it waits for
    something that no free node gives: it is held, or at a limit of its user.
    """

    job_id: str
    user: str
    request: Request
    priority: float
    submitted_s: float
    earliest_s: float = 0.0
    after: tuple[str, ...] = ()
    is_blocked: bool = False
    count: int = 1
    at_once: int | None = None


@dataclass(frozen=True)
class Reservation:
    """Nodes that are kept from other jobs for a time: a maintenance, or somebody's."""

    name: str
    start_s: float
    end_s: float
    nodes: frozenset[str]


@dataclass(frozen=True)
class Rules:
    """The rules of a partition; `limit_s` and `max_nodes` are None where there is no limit."""

    tier: int = 1
    limit_s: float | None = None
    default_limit_s: float | None = None
    max_nodes: int | None = None
    is_up: bool = True
    is_open: bool = True  # to every group and account
    is_preempted: bool = False  # by partitions of a higher tier


@dataclass(frozen=True)
class QueueState:
    """The whole queue of `cluster` at `now_s`, in Unix seconds.

    `hides_jobs` if the site does not show the jobs of others; `default_partition` is that of jobs that name none.
    """

    now_s: float
    nodes: tuple[Node, ...]
    running: tuple[RunningJob, ...] = ()
    pending: tuple[PendingJob, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    partitions: Mapping[str, Rules] = field(default_factory=dict)
    hides_jobs: bool = False
    cluster: str = ""
    default_partition: str = ""

    def tier(self, partitions: Sequence[str]) -> int:
        """Return the highest tier among these partitions."""
        return max((self.partitions.get(name, Rules()).tier for name in partitions), default=1)

    def without(self, job_ids: frozenset[str]) -> Self:
        """Return the queue as it is without these jobs and their array, and without what they hold."""

        def is_other(job_id: str) -> bool:
            return job_id not in job_ids and job_id.partition("_")[0] not in job_ids

        own = [job for job in self.running if not is_other(job.job_id)]
        nodes = [
            replace(
                node,
                used_gpus=node.used_gpus - sum(job.request.gpus for job in own if node.name in job.nodes),
                used_cpus=node.used_cpus - sum(job.request.cpus for job in own if node.name in job.nodes),
                used_memory_mib=node.used_memory_mib
                - sum(job.request.memory_mib for job in own if node.name in job.nodes),
            )
            for node in self.nodes
        ]
        return replace(
            self,
            nodes=tuple(nodes),
            running=tuple(job for job in self.running if is_other(job.job_id)),
            pending=tuple(job for job in self.pending if is_other(job.job_id)),
        )

    def seen_from(self, partitions: Sequence[str]) -> Self:
        """Return the part that a job in `partitions` competes with: nodes that any chain of shared nodes links to it.

        Running jobs that it would preempt are left out.
        """
        names = set(partitions)
        while True:
            nodes = [node for node in self.nodes if names & node.partitions]
            linked = names.union(*(node.partitions for node in nodes))
            if linked == names:
                break
            names = linked
        tier = self.tier(partitions)

        def yields(job: RunningJob) -> bool:
            rules = self.partitions.get(job.request.partitions[0]) if job.request.partitions else None
            return rules is not None and rules.is_preempted and rules.tier < tier

        preempted = frozenset(job.job_id for job in self.running if yields(job))
        kept = {node.name for node in nodes}
        part = replace(
            self,
            nodes=tuple(nodes),
            running=tuple(job for job in self.running if kept.intersection(job.nodes)),
            pending=tuple(job for job in self.pending if names.intersection(job.request.partitions)),
            reservations=tuple(each for each in self.reservations if kept & each.nodes),
        )
        return part.without(preempted) if preempted else part

    def hidden_gpus(self) -> int:
        """Return the GPUs that Slurm has given to jobs that it does not show."""
        shown: dict[str, int] = {}
        for job in self.running:
            for name in job.nodes:
                shown[name] = shown.get(name, 0) + job.request.gpus
        return sum(max(node.used_gpus - shown.get(node.name, 0), 0) for node in self.nodes)


def order_of(state: QueueState, job: PendingJob) -> tuple[float, float, float]:
    """Return the key by which Slurm looks at pending jobs: the tier of the partition, the priority, the age."""
    return -state.tier(job.request.partitions), -job.priority, job.submitted_s
