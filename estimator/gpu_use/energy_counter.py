"""What an energy counter added between two readings, and when it cannot be known.  Pure.

A counter begins at 0 when the driver is loaded, and a faulty one jumps.  No GPU takes more than its power limit allows,
so an interval that says more is not known.  A counter that falls to nearly nothing was reset; one that falls a little
was read late, and the reading is left out; after any other fall the energy of that interval is not known.
"""

from collections.abc import Iterable
from typing import NamedTuple

from .metrics import MOST_POWER_W

MOST_LIMITS = (
    1.5  # times its limit, that a GPU draws over a second: limits are kept over tens of milliseconds
)
SLACK_S = 2.0  # of the time of a reading: the counter is updated ten times per second, and a busy driver answers late


class CounterReading(NamedTuple):
    """A counter at a Unix time, in mJ."""

    time_s: float
    mj: int


class Added(NamedTuple):
    """What a counter added: `mj` is None where it is not known.  The next interval begins at `since`."""

    mj: int | None
    since: CounterReading


def added_mj(before: CounterReading, now: CounterReading, power_limit_w: float | None) -> Added:
    """Return what a counter added from one reading to the next.

    >>> at = [CounterReading(float(s), mj) for s, mj in enumerate((5_000_000, 5_500_000, 5_499_000, 2**50, 300_000))]
    >>> [added_mj(at[i], at[i + 1], 700.0).mj for i in range(4)]
    [500000, None, None, 300000]
    >>> added_mj(at[1], at[2], 700.0).since.mj
    5500000
    """
    most_mj = most_energy_mj(now.time_s - before.time_s, power_limit_w)
    rise_mj = now.mj - before.mj
    if 0 <= rise_mj <= most_mj:
        return Added(rise_mj, now)
    is_near_zero = 2 * now.mj < before.mj
    if rise_mj < 0 and is_near_zero and now.mj <= most_mj:  # reset, and counting from 0 again
        return Added(now.mj, now)
    if rise_mj < 0 and not is_near_zero and -rise_mj <= most_mj:
        return Added(None, before)
    return Added(None, now)


def fold_counter(
    readings: Iterable[CounterReading], power_limit_w: float | None
) -> tuple[int | None, CounterReading | None]:
    """Return what a counter added over its readings, in mJ, and the reading at which the next interval begins.

    Intervals whose energy is not known are left out; None if that of no interval is known.
    """
    total, since = None, None
    for now in readings:
        mj, since = added_mj(since, now, power_limit_w) if since else (None, now)
        if mj is not None:
            total = mj + (total or 0)
    return total, since


def most_energy_mj(seconds: float, power_limit_w: float | None) -> float:
    """Return the most energy that a GPU can take in some time, in mJ.

    >>> most_energy_mj(1.0, 700.0)
    3150000.0
    """
    watts = MOST_POWER_W if power_limit_w is None else min(MOST_LIMITS * power_limit_w, MOST_POWER_W)
    return 1000 * watts * (max(seconds, 0.0) + SLACK_S)
