"""One request to sbatch, decided once: `estimate` prints what it books, and `submit` writes it into the script.  Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...cluster_profiles.units import MINUTE_S, ceil_div, slurm_time
from ..run_folder.records.values import Count, Positive
from ..slurm.text import parse_limit_s

if TYPE_CHECKING:  # every task on a node reads a request, and would load all models for their names
    from ...estimator.estimate.estimate import Estimate
    from ...estimator.job.placement import Placement
    from ...estimator.job.workload import Workload

_SAVE_S = 90.0  # warned so long before the limit, where no checkpoint has been timed
_SAVE_MARGIN_S = 30.0
_LONGEST_SAVE_SHARE = 0.75  # of the walltime, at most, where a save takes so long
_LONGEST_SHARE = 0.25  # of the walltime, at most, for that
_SHORTEST_S = 1_800.0  # a walltime that is worth its start

OptionValue = str | int | bool


@dataclass(frozen=True)
class SlurmRequest:
    """One Slurm job: what it occupies, for how long, and how Slurm warns and requeues it.

    `gpus` are those of all `nodes` together, and `gres` is Slurm's name of their type.  A None leaves `partition`,
    `gres` or `time` to Slurm's default.  `segments` such jobs in a row take the run to its end; None if unknown.
    `names_partition` is False where Slurm, or a filter of the site, is to choose the partition that is expected.
    `time_min` is the shortest walltime that Slurm may choose to start the job sooner, `parallel` the runs of an
    array at once, `srun` are arguments of srun, and `further` are options of sbatch that the user stated.
    """

    nodes: Positive
    gpus: Count
    signal_delay_s: Count
    gres: str | None = None
    partition: str | None = None
    time: str | None = None
    segments: Count | None = None
    name: str | None = None
    tasks_per_node: Positive = 1
    time_min: str | None = None
    requeue: bool = True
    parallel: Positive | None = None
    srun: tuple[str, ...] = ()
    further: tuple[tuple[str, OptionValue], ...] = ()
    names_partition: bool = True

    @property
    def gpus_per_node(self) -> int:
        """Return the GPUs on the fullest node."""
        return ceil_div(self.gpus, self.nodes)

    @property
    def walltime_s(self) -> float | None:
        """Return the seconds of `time`; None if the partition's default holds."""
        return parse_limit_s(self.time) if self.time else None

    def booked(self) -> dict[str, OptionValue]:
        """Return the options that say what is booked, by name: a job script of the user's own can ask for the same."""
        kind = f"{self.gres}:" if self.gres else ""
        even = self.gpus % self.nodes == 0
        return {
            **({"partition": self.partition} if self.partition and self.names_partition else {}),
            "nodes": self.nodes,
            ("gpus-per-node" if even else "gpus"): f"{kind}{self.gpus_per_node if even else self.gpus}",
            **({"time": self.time} if self.time else {}),
            **{name: value for name, value in self.further if value is not False},
        }

    def header(self) -> dict[str, OptionValue]:
        """Return every option of the job's script by name: what is booked, and how the job is kept alive."""
        return {
            **({"job-name": self.name} if self.name else {}),
            **({"time-min": self.time_min} if self.time_min else {}),
            **self.booked(),
            "ntasks-per-node": self.tasks_per_node,
            "signal": f"USR2@{self.signal_delay_s}",
            ("requeue" if self.requeue else "no-requeue"): True,
        }

    def booked_options(self) -> tuple[str, ...]:
        """Return `booked` as sbatch reads it."""
        return _options(self.booked())

    def options(self) -> tuple[str, ...]:
        """Return `header` as sbatch reads it: the #SBATCH lines of the script, in order."""
        return _options(self.header())


def decide_request(
    workload: "Workload",
    placement: "Placement",
    estimate: "Estimate | None" = None,
    *,
    name: str | None = None,
    tasks_per_node: int = 1,
    walltime_s: float | None = None,
    default_walltime_s: float | None = None,
    requeue: bool = True,
    parallel: int | None = None,
    standing: Mapping[str, str] | None = None,
    default_partition: str | None = None,
    leaves_partition_open: bool = False,
) -> SlurmRequest:
    """Return the request for one job of `workload` as placed.

    The walltime is `walltime_s`, else the estimate's: P95 of the wall-clock and a grace period, never above the
    partition's limit.  It is rounded up to minutes, as Slurm does.  `default_walltime_s` limits a job that asks for none.
    `standing` are options for where the job file has none.  `default_partition` is the one that Slurm gives to jobs
    that name none, "" if there is none; None if no Slurm was asked, and the profile's holds.  With
    `leaves_partition_open` the request names no partition, and no type of GPU but one that is stated.

    >>> from clusterplan.estimator.job.placement import place
    >>> from clusterplan.estimator.job.workload import Workload
    >>> job = Workload.of(samples=1, batch_size=1, gpus=16)
    >>> decide_request(job, place(job, None), walltime_s=90).options()
    ('--nodes=2', '--gpus-per-node=8', '--time=00:02:00', '--ntasks-per-node=1', '--signal=USR2@23', '--requeue')
    """
    clock = estimate.clock if estimate else None
    request_s = walltime_s or (clock.request_s if clock else None)
    inherited = {n: value for n, value in (standing or {}).items() if n not in dict(workload.slurm)}
    partition = placement.partition
    return SlurmRequest(
        name=name,
        nodes=placement.nodes,
        gpus=placement.gpus,
        tasks_per_node=tasks_per_node,
        gres=partition.gres
        if partition and not (leaves_partition_open and not workload.cluster.gpu)
        else None,
        partition=None if leaves_partition_open else placement.partition_name,
        time=_whole_minutes_time(request_s) if request_s else None,
        segments=clock.segments if clock else None,
        signal_delay_s=signal_delay_s(_save_s(workload, estimate), request_s or default_walltime_s),
        time_min=_shortest_time(workload, estimate, request_s) if requeue else None,
        requeue=requeue,
        parallel=parallel,
        srun=workload.run.srun if workload.run else (),
        further=(*inherited.items(), *workload.slurm),
        names_partition=not (placement.by_default and default_partition in (None, placement.partition_name)),
    )


def request_of(estimate: "Estimate") -> SlurmRequest:
    """Return the request for a job as estimated, which `submit` makes unless it is told otherwise."""
    return decide_request(estimate.workload, estimate.placement, estimate)


def _save_s(workload: "Workload", estimate: "Estimate | None") -> float | None:
    """Return the seconds of a save as stated; else as estimated, where the usual warning is too short for that."""
    interval = estimate.clock.checkpoint_interval if estimate else None
    if workload.checkpoint.time_s is not None or interval is None:
        return workload.checkpoint.time_s
    return interval.write_s if 2 * interval.write_s + _SAVE_MARGIN_S > _SAVE_S else None


def signal_delay_s(save_s: float | None, walltime_s: float | None) -> int:
    """Return how long before its limit a job is warned: twice a checkpoint's time and 30 s.

    That is at most a quarter of the walltime, but never too short for one save, up to three quarters.  Slurm may send
    the warning up to 60 s early.

    >>> signal_delay_s(45, 86400), signal_delay_s(None, 86400), signal_delay_s(None, 60), signal_delay_s(140, 600)
    (120, 90, 15, 170)
    """
    delay_s = _SAVE_S if save_s is None else 2 * save_s + _SAVE_MARGIN_S
    if walltime_s is None:
        return math.ceil(delay_s)
    one_save_s = 0 if save_s is None else min(save_s + _SAVE_MARGIN_S, walltime_s * _LONGEST_SAVE_SHARE)
    return math.ceil(max(min(delay_s, walltime_s * _LONGEST_SHARE), one_save_s))


def whole_minutes(seconds: float) -> int:
    """Return a limit in minutes, rounded up: Slurm's limits are whole minutes.

    >>> whole_minutes(61)
    2
    """
    return math.ceil(seconds / MINUTE_S)


def _whole_minutes_time(seconds: float) -> str:
    return slurm_time(whole_minutes(seconds) * MINUTE_S)


def _shortest_time(workload: "Workload", estimate: "Estimate | None", walltime_s: float | None) -> str | None:
    """Return the shortest useful walltime, for backfill: the run starts up and saves twice; None if little is gained."""
    interval = estimate.clock.checkpoint_interval if estimate else None
    startup = estimate.clock.parts["startup"].seconds if estimate else None
    if not (workload.run and workload.run.resume and interval and startup and walltime_s):
        return None
    shortest_s = max(startup.p90 + 2 * (interval.seconds + interval.write_s), _SHORTEST_S)
    return _whole_minutes_time(shortest_s) if shortest_s * 2 <= walltime_s else None


def _options(header: Mapping[str, OptionValue]) -> tuple[str, ...]:
    return tuple(f"--{name}" if value is True else f"--{name}={value}" for name, value in header.items())
