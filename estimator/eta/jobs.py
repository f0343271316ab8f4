"""The jobs that the rest of a run still needs: each has a time limit, and between two the run waits in the queue."""

import math
from dataclasses import dataclass

from ..ranges import Range

# Slurm holds a requeued job for 120 to 150 s (measured on 22.05); then it waits for its turn, as it did before.
REQUEUE_WAIT_S = Range(120, 150, 600)


@dataclass(frozen=True)
class JobLimits:
    """The time for training in the job that runs, and in each one after it, until it is told to save; in seconds.

    With `goes_on` the run is started again after its limit, `wait_s` later.
    """

    left_s: float = math.inf
    next_s: float = math.inf
    goes_on: bool = False
    wait_s: Range = REQUEUE_WAIT_S


def further_jobs(work_s: float, limits: JobLimits, lost_s: float) -> int:
    """Return how many jobs follow the one that runs, each of which spends `lost_s` before it gets anywhere.

    >>> further_jobs(9_000, JobLimits(left_s=1_000, next_s=3_000), 200)
    3
    """
    rest_s = work_s - limits.left_s
    if rest_s <= 0:
        return 0
    usable_s = limits.next_s - lost_s
    return math.ceil(rest_s / usable_s) if usable_s > 0 else 1
