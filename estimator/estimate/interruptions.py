"""Interruptions of a run by failures and time limits: what they cost, and the best interval between checkpoints."""

import bisect
import math
from dataclasses import dataclass
from statistics import NormalDist

from ...cluster_profiles.units import DAY_S

_MOST_EXACT_POISSON_MEAN = 30.0
_MOST_STEPS = 10**12
_MOST_CUTS = 100_000


@dataclass(frozen=True)
class CheckpointInterval:
    """The interval between checkpoints with the least expected loss, and the numbers it follows from.

    tau = sqrt(2 C (M + R)) - C if C < 2 M, otherwise M: Daly 2006 (FGCS 22); Young 1974 without R and the last C.
    C are the seconds that a checkpoint stops training, M the mean seconds between interruptions, R those of a restart.
    `seconds` are fewer where a job under a time limit would not reach its next checkpoint otherwise.
    """

    seconds: float
    steps: int
    write_s: float
    between_interruptions_s: float
    restart_s: float


def young_daly_s(write_s: float, between_interruptions_s: float, restart_s: float = 0.0) -> float:
    """Return the best interval between checkpoints in seconds; see `CheckpointInterval`.

    >>> round(young_daly_s(60, 21 * 86400) / 3600, 1)  # 16 GPUs that fail every 21 days
    4.1
    """
    if write_s >= 2 * between_interruptions_s:
        return between_interruptions_s
    return math.sqrt(2 * write_s * (between_interruptions_s + restart_s)) - write_s


def failures_per_second(node_failures_per_1000_days: float, nodes: float) -> float:
    """Return the failures per second of a job on so many nodes.

    >>> round(1 / failures_per_second(6.5, 2) / 86400, 1)  # days between two
    76.9
    """
    return node_failures_per_1000_days / 1000 / DAY_S * nodes


def repeated_intervals(restarts: int, u: float, z: float) -> float:
    """Return the intervals of work that are repeated after so many restarts; each loses a uniform part of one.

    `u` is a uniform and `z` a standard normal draw: the sum of several uniforms is nearly normal.

    >>> repeated_intervals(1, 0.3, 0.0), repeated_intervals(12, 0.3, 1.0)
    (0.3, 7.0)
    """
    if restarts <= 1:
        return restarts * u
    return min(max(restarts / 2 + z * math.sqrt(restarts / 12), 0.0), float(restarts))


@dataclass(frozen=True)
class Restarts:
    """The restarts of one draw of a run: each starts up again, and repeats the work since the last checkpoint.

    `u` and `z` are draws as in `repeated_intervals`.
    """

    startup_s: float
    work_between_checkpoints_s: float
    u: float
    z: float

    def seconds(self, number: int) -> float:
        """Return the seconds of so many restarts."""
        return number * self.startup_s + self.work_between_checkpoints_s * repeated_intervals(
            number, self.u, self.z
        )

    def cuts(self, uninterrupted_s: float, failures: int, usable_s: float) -> int | None:
        """Return the fewest cuts after which the run fits in its jobs of `usable_s` each; None if it never ends.

        It never ends where no job starts up and reaches its next checkpoint.

        >>> Restarts(100, 1000, 0.5, 0.0).cuts(10_100, 0, 6_900)
        1
        """

        def fits(cuts: int) -> bool:
            return uninterrupted_s + self.seconds(failures + cuts) <= (cuts + 1) * usable_s

        if fits(0):
            return 0
        if self.startup_s + self.work_between_checkpoints_s > usable_s:
            return None
        most = 1
        while not fits(most):
            most *= 2
            if most > _MOST_CUTS:
                return None
        return bisect.bisect_left(range(most + 1), True, lo=most // 2, key=fits)  # noqa: FBT003


def best_interval(
    write_s: float,
    restart_s: float,
    interruptions_per_second: float,
    step_s: float,
    training_s: float,
    longest_s: float = math.inf,
) -> CheckpointInterval:
    """Return `young_daly_s` in steps, without interruptions the whole training; at least one, at most `longest_s`."""
    between = 1 / interruptions_per_second if interruptions_per_second else math.inf
    best = young_daly_s(write_s, between, restart_s) if between < math.inf else training_s
    best = min(best, longest_s)
    steps = max(int(min(best / step_s + 1e-6, _MOST_STEPS)), 1) if step_s else 1
    return CheckpointInterval(best, steps, write_s, between, restart_s)


def poisson_quantile(mean: float, u: float) -> int:
    """Return the smallest n that a Poisson count of this mean exceeds with a probability of at most 1 - u.

    >>> [poisson_quantile(0.5, u) for u in (0.5, 0.7, 0.95)]
    [0, 1, 2]
    """
    if mean > _MOST_EXACT_POISSON_MEAN:  # normal, with the mean as its variance
        return max(round(NormalDist(mean, math.sqrt(mean)).inv_cdf(u)), 0)
    n, term = 0, math.exp(-mean)
    below = term
    while below < u and term > 0:
        n += 1
        term *= mean / n
        below += term
    return n
