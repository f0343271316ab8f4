"""Score the start that clusterplan forecasts for a job beside that of `squeue --start`, on a simulated month of a queue.

    python benchmarks/start_forecast.py [--seeds 1 2] [--days 30] [--load 0.8] [--every 6]
    python benchmarks/start_forecast.py --slurm

Every sixth job that cannot start at once is forecast when it has just been submitted; jobs go on arriving after that,
some with a higher priority.  The month is that of `backfill.py`: 128 GPUs on 16 nodes, jobs of 1 to 32 GPUs, 25 users
whose jobs use more or less of their limits.  clusterplan knows the limits, and from accounting how much of them ended
jobs used.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from statistics import mean, median

from backfill import GPUS_PER_NODE, HOUR_S, NODES, Cluster, Job, run_month
from markdown_table import table

from clusterplan.estimator.queue.forecast import forecast_waits
from clusterplan.estimator.queue.limit_use import EndedJob, learn_limit_use
from clusterplan.estimator.queue.record import KeptForecast, learn_correction
from clusterplan.estimator.queue.state import Node, PendingJob, QueueState, Request, Rules, RunningJob
from clusterplan.estimator.ranges import Range

WARM_UP_DAYS = 3.0
WAYS = (
    "`squeue --start`",
    "by limits, GPU by GPU",
    "the same, corrected by its record",
    "by the use of limits",
    "the same, corrected by its record ",  # a name of its own
)
_LATEST_ENDED = 1_000  # jobs of the accounting: a few days


@dataclass
class Forecasts:
    """What was forecast of one job, as waits in seconds; None where nothing was."""

    job: Job
    slurm_s: float | None
    by_limits_s: float | None
    by_usage_s: float | None
    p10_s: float
    p90_s: float

    @property
    def actual_s(self) -> float:
        return self.job.start_s - self.job.submit_s


def to_state(cluster: Cluster) -> QueueState:
    """Return the queue as clusterplan reads it from Slurm."""
    nodes = [
        Node(f"n{i}", frozenset({"gpu"}), (("a100", GPUS_PER_NODE),), cpus=64, memory_mib=0)
        for i in range(NODES)
    ]
    running = [
        RunningJob(
            str(job.number), job.user.name, _request(job), tuple(f"n{i}" for i in job.nodes), job.start_s
        )
        for job in cluster.running
    ]
    return QueueState(
        cluster.now_s,
        tuple(nodes),
        tuple(running),
        tuple(_pending(cluster, job) for job in cluster.pending),
        partitions={"gpu": Rules(limit_s=24 * HOUR_S)},
    )


def _request(job: Job) -> Request:
    return Request(job.n, job.gpus, job.limit_s, ("gpu",))


def _pending(cluster: Cluster, job: Job) -> PendingJob:
    return PendingJob(str(job.number), job.user.name, _request(job), cluster.priority(job), job.submit_s)


def forecast_month(seed: int, days: float, load: float, every: int) -> list[Forecasts]:
    """Return what was forecast in one month, in order."""
    ended, forecasts, numbers = list[EndedJob](), list[Forecasts](), count()

    def forecast(cluster: Cluster, job: Job) -> None:
        if cluster.now_s < WARM_UP_DAYS * 24 * HOUR_S or next(numbers) % every:
            return
        use = learn_limit_use(ended[-_LATEST_ENDED:])
        (ours,) = forecast_waits(to_state(cluster), [_request(job)], use, _pending(cluster, job))
        wait = ours.wait_s
        forecasts.append(
            Forecasts(
                job,
                None if job.planned_s is None else job.planned_s - cluster.now_s,
                ours.by_limits_s,
                wait.p50 if wait else None,
                wait.p10 if wait else 0.0,
                wait.p90 if wait else 0.0,
            )
        )

    run_month(
        seed,
        days,
        load,
        forecast,
        lambda job: ended.append(EndedJob(job.user.name, job.run_s, job.limit_s)),
    )
    return forecasts


def correct_all(forecasts: Sequence[Forecasts], *, by_limits: bool) -> list[Range | None]:
    """Return each forecast as its own record corrects it: that of the jobs that had begun when it was made."""

    def known_s(each: Forecasts) -> float | None:
        return each.by_limits_s if by_limits else each.by_usage_s

    corrected: list[Range | None] = []
    for each in forecasts:
        begun = [
            KeptForecast(wait_s, other.actual_s)
            for other in reversed(forecasts)
            if (wait_s := known_s(other)) is not None and other.job.start_s < each.job.submit_s
        ]
        correction, own_s = learn_correction(begun), known_s(each)
        corrected.append(
            None
            if own_s is None
            else correction.apply(own_s)
            if correction
            else Range.exactly(own_s)
            if by_limits
            else Range(each.p10_s, own_s, each.p90_s)
        )
    return corrected


def main() -> None:
    """Print a table of the errors of each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--load", type=float, default=0.8)
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument(
        "--slurm", action="store_true", help="50 jobs on the test Slurm in place of the months"
    )
    options = parser.parse_args()
    if options.slurm:
        from start_forecast_slurm import forecast_on_slurm  # noqa: PLC0415  the test Slurm, for --slurm only

        actual_s, *waits = zip(*forecast_on_slurm(), strict=True)
        print_errors(actual_s, dict(zip((WAYS[0], WAYS[1], WAYS[3]), waits, strict=True)))
        return
    rows, inside, corrected_inside, unplanned = list[tuple[float, ...]](), list[bool](), list[bool](), 0
    for seed in options.seeds:
        forecasts = forecast_month(seed, options.days, options.load, options.every)
        unplanned += sum(each.slurm_s is None for each in forecasts)
        columns = (correct_all(forecasts, by_limits=True), correct_all(forecasts, by_limits=False))
        for each, limits, usage in zip(forecasts, *columns, strict=True):
            if each.slurm_s is None or limits is None or usage is None:
                continue
            waits_s = (each.slurm_s, each.by_limits_s, limits.p50, each.by_usage_s, usage.p50)
            rows.append((each.actual_s, *waits_s))
            inside.append(each.p10_s - 60 <= each.actual_s <= each.p90_s + 60)
            corrected_inside.append(usage.p10 - 60 <= each.actual_s <= usage.p90 + 60)
    actual_s, *waits = zip(*rows, strict=True)
    print_errors(actual_s, dict(zip(WAYS, waits, strict=True)))
    print(f"{unplanned} more had no start in squeue")
    print(f"began within P10 to P90: {mean(inside):.0%}, corrected {mean(corrected_inside):.0%}")


def print_errors(actual_s: Sequence[float], waits: dict[str, Sequence[float]]) -> None:
    """Print the errors of each way, and how many times those of squeue they are."""
    errors = {
        name: [abs(wait_s - own_s) for wait_s, own_s in zip(waits_s, actual_s, strict=True)]
        for name, waits_s in waits.items()
    }
    base = errors[WAYS[0]]
    cells = [
        (
            name,
            f"{median(values) / 60:.1f} min",
            f"{median(values) / median(base):.2f}",
            f"{mean(values) / 60:.1f} min",
            f"{mean(values) / mean(base):.2f}",
        )
        for name, values in errors.items()
    ]
    head = ("forecast", "median error", "of squeue's", "mean error", "of squeue's")
    print("\n".join(table(head, cells)))
    print(f"{len(actual_s)} jobs that waited {median(actual_s) / 60:.1f} min in the median")


if __name__ == "__main__":
    main()
