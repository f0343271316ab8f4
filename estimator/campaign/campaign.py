"""A campaign as frozen values: jobs that may run in several shapes, pools of GPUs, and what is taken of these.

A pool is what one cap allows: the GPUs of one partition or type that the campaign may hold at once, as whole nodes
and at most one part of a node.  All times are Unix seconds, all durations seconds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Self

from ...cluster_profiles.units import HOUR_S

_CARE = 0.3  # 0 and 0.6 ended later in most simulations with errors: see docs/explanation/scheduling.md


class Objective(StrEnum):
    """What is made small once all deadlines that can be met are met."""

    END = "end"
    GPU_HOURS = "gpu-hours"
    COMPLETION = "completion"


@dataclass(frozen=True)
class Mode:
    """One shape of a job on one pool, and how long it takes there, at P50 and at P90.

    `segments` is the number of Slurm jobs in a row that the time limit makes of it; their waits are in the durations.
    """

    pool: str
    nodes: int
    gpus: int
    p50_s: float
    p90_s: float
    segments: int = 1

    @property
    def gpus_per_node(self) -> int:
        """Return its GPUs on each node."""
        return self.gpus // self.nodes

    @property
    def gpu_hours(self) -> float:
        """Return GPUs x P50, in GPU-hours."""
        return self.gpus * self.p50_s / HOUR_S


@dataclass(frozen=True)
class Started:
    """A job that already runs: in which mode, since when, and on which nodes of its pool if that is known."""

    mode: Mode
    start_s: float
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True)
class CampaignJob:
    """One training: the modes that it may run in, and when it may start and must end.

    `weight` is its priority: what a missed deadline or a later end of it counts.  It starts after the jobs of `after`
    have ended.  One that is `started` keeps its mode.
    """

    name: str
    modes: tuple[Mode, ...]
    weight: float = 1.0
    deadline_s: float | None = None
    earliest_s: float = 0.0
    after: tuple[str, ...] = ()
    started: Started | None = None

    @property
    def choices(self) -> tuple[Mode, ...]:
        """Return the modes that are still open to it."""
        return (self.started.mode,) if self.started else self.modes


@dataclass(frozen=True)
class Pool:
    """GPUs that the campaign may hold at once: the number on each of its nodes."""

    name: str
    nodes: tuple[int, ...]

    @property
    def gpus(self) -> int:
        """Return the GPUs of all nodes."""
        return sum(self.nodes)

    @classmethod
    def of(cls, name: str, gpus: int, gpus_per_node: int) -> Self:
        """Return a pool of so many GPUs: whole nodes, and a part of one for the rest.

        >>> Pool.of("a100", 20, 8).nodes
        (8, 8, 4)
        """
        whole, rest = divmod(gpus, gpus_per_node)
        return cls(name, (gpus_per_node,) * whole + ((rest,) if rest else ()))


@dataclass(frozen=True)
class Busy:
    """GPUs of a pool that are taken from `start_s` to `end_s`: by others, or because the pool is closed then.

    `gpus` has the number on each node of the pool; empty means all of them.
    """

    pool: str
    start_s: float
    end_s: float
    gpus: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Campaign:
    """Everything that a plan depends on, at the moment `now_s`."""

    now_s: float
    jobs: tuple[CampaignJob, ...]
    pools: tuple[Pool, ...]
    busy: tuple[Busy, ...] = ()
    objective: Objective = Objective.END
    name: str = ""

    @cached_property
    def job(self) -> Mapping[str, CampaignJob]:
        """Return the jobs by name."""
        return {job.name: job for job in self.jobs}

    @cached_property
    def pool(self) -> Mapping[str, Pool]:
        """Return the pools by name."""
        return {pool.name: pool for pool in self.pools}

    @cached_property
    def followers(self) -> Mapping[str, tuple[str, ...]]:
        """Return the jobs that wait for each job."""
        lists: dict[str, list[str]] = {job.name: [] for job in self.jobs}
        for job in self.jobs:
            for other in job.after:
                lists[other].append(job.name)
        return {name: tuple(names) for name, names in lists.items()}

    @property
    def to_plan(self) -> Iterator[CampaignJob]:
        """Yield the jobs that have not started."""
        return (job for job in self.jobs if job.started is None)

    def with_jobs(self, **changes: object) -> Self:
        """Return the campaign with every job changed by `dataclasses.replace`."""
        return replace(self, jobs=tuple(replace(job, **changes) for job in self.jobs))  # type: ignore[arg-type]


@dataclass(frozen=True)
class PlannedJob:
    """One job of a plan: its mode, its start, and the nodes of the pool that it gets, by their places.

    >>> PlannedJob("a", Mode("gpu", 1, 8, 3600, 5400), 0.0, (0,)).end_s
    3600.0
    """

    job: str
    mode: Mode
    start_s: float
    nodes: tuple[int, ...] = field(compare=False, default=())
    is_started: bool = False

    @property
    def end_s(self) -> float:
        """Return the planned end: start + P50."""
        return self.start_s + self.mode.p50_s

    @property
    def late_end_s(self) -> float:
        """Return start + P90, which a deadline is held against."""
        return self.start_s + self.mode.p90_s

    @property
    def careful_end_s(self) -> float:
        """Return start + P50 + 0.3 (P90 - P50), about P65, by which ends are compared while a plan is searched.

        The end of all is the latest of many ends, and so later than the latest P50.  A long job at the end of a plan, which
        nothing can make up for, has the widest range: this puts it earlier, or on more GPUs.
        """
        return self.end_s + _CARE * (self.mode.p90_s - self.mode.p50_s)
