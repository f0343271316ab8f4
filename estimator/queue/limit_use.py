"""How much of their time limits jobs use: what running jobs still take, learned from jobs that have ended."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

FEWEST = 30  # ended jobs from which shares are learned
_FEWEST_OF_USER = 8


class EndedJob(NamedTuple):
    """A job that has ended: who ran it, how long, and under which limit."""

    user: str
    elapsed_s: float
    limit_s: float


@dataclass(frozen=True)
class LimitUse:
    """The shares of their limits that ended jobs used, ascending: of everyone, and of each user with at least 8 of them."""

    shares: tuple[float, ...]
    of_user: Mapping[str, tuple[float, ...]]

    def draw(self, user: str, uniform: float, at_least: float = 0.0) -> float:
        """Return a share above `at_least`, at the quantile `uniform` of those; 1 if no job used more.

        >>> use = LimitUse((0.1, 0.2, 0.5, 1.0), {})
        >>> use.draw("ann", 0.0), use.draw("ann", 0.99), use.draw("ann", 0.0, at_least=0.3)
        (0.1, 1.0, 0.5)
        """
        for shares in (self.of_user.get(user, ()), self.shares):
            first = bisect_right(shares, at_least)
            if first < len(shares):
                return shares[first + int(uniform * (len(shares) - first))]
        return 1.0


def learn_limit_use(jobs: Iterable[EndedJob]) -> LimitUse | None:
    """Return the shares that these jobs used; None if they are fewer than 30.

    >>> learn_limit_use([EndedJob("ann", 60, 600)] * 30).draw("ann", 0.5)
    0.1
    """
    of_user: dict[str, list[float]] = {}
    for job in jobs:
        if job.limit_s > 0:
            of_user.setdefault(job.user, []).append(min(max(job.elapsed_s / job.limit_s, 0.0), 1.0))
    shares = sorted(share for each in of_user.values() for share in each)
    if len(shares) < FEWEST:
        return None
    own = {user: tuple(sorted(each)) for user, each in of_user.items() if len(each) >= _FEWEST_OF_USER}
    return LimitUse(tuple(shares), own)
