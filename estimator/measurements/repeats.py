"""How far step times of one shape differ from run to run on a site, learned from the runs that repeat each other.

The standard deviation s of log T between such runs is not known before.  Of 45 published series of repeats (MLPerf Training
v4.1, Megatron-Bridge, Sia of SOSP 2023, csc.fi) it is 2 % in the median, and 0.6 to 6 % in two of three.  Each further group
of repeats weighs that: n runs at distances d from their median make s as likely as the product of the densities of
d sqrt(n / (n - 1)) to the power (n - 1) / n.  One run in a hundred may be far off for a reason of its own.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, median

from .measurement import Measurement

_USUAL_SD, _LOG_SD = 0.02, 1.1  # the median of s, and the deviation of its logarithm
_SDS = tuple(_USUAL_SD * math.exp(_LOG_SD * (i - 12) / 5) for i in range(25))  # 0.14 to 28 %
_ODD_SHARE, _ODD_SD = 0.01, 0.3
_ROUNDS = 30  # of a bisection, which halve the error of a factor


@dataclass(frozen=True)
class RepeatSpread:
    """How far runs of one shape differ: the probability of each standard deviation of log T in `_SDS`."""

    weights: tuple[float, ...]

    def factor(self, repeats: int, q: float) -> float:
        """Return the factor on the median of so many runs that another run of the shape stays below with probability `q`.

        The median of n runs is known to s sqrt((pi / 2) / (n + pi / 2 - 1)), which is s for one run.

        >>> [round(learn_spread([[1.0] * n]).factor(n, 0.9), 3) for n in (1, 2, 8)]
        [1.055, 1.016, 1.002]
        """
        wider = math.sqrt(1 + (math.pi / 2) / (repeats + math.pi / 2 - 1))
        cdf, low, high = NormalDist().cdf, 0.0, 4 * _SDS[-1] * wider
        for _ in range(_ROUNDS):
            middle = (low + high) / 2
            below = sum(w * cdf(middle / (sd * wider)) for w, sd in zip(self.weights, _SDS, strict=True) if w)
            low, high = (low, middle) if below > q else (middle, high)
        return math.exp(low)


def learn_spread(groups: Iterable[Sequence[float]]) -> RepeatSpread:
    """Return the spread that groups of step times tell, each of the runs of one shape; a single run tells nothing."""
    log_weights = [-((math.log(sd / _USUAL_SD) / _LOG_SD) ** 2) / 2 for sd in _SDS]
    for times_s in groups:
        n, middle = len(times_s), median(times_s)
        if n > 1:
            for time_s in times_s:
                distance = math.log(time_s / middle) * math.sqrt(n / (n - 1))
                for i, log_density in enumerate(_log_densities(round(abs(distance), 4))):
                    log_weights[i] += log_density * (n - 1) / n
    most = max(log_weights)
    weights = [math.exp(x - most) for x in log_weights]
    total = sum(weights)
    return RepeatSpread(tuple(w / total if w > 1e-6 * total else 0.0 for w in weights))


def spread_of_runs(runs: Iterable[Measurement]) -> RepeatSpread:
    """Return the spread that runs tell of their site, by those among them that repeat each other's model and shape."""
    groups: dict[Hashable, list[float]] = {}
    for m in runs:
        groups.setdefault((m.model, m.shape), []).append(m.step_time_s)
    return learn_spread(groups.values())


@cache
def _log_densities(distance: float) -> tuple[float, ...]:
    """The logarithm of the density of a distance, for each standard deviation."""
    odd = _ODD_SHARE * NormalDist(0, _ODD_SD).pdf(distance)
    return tuple(math.log((1 - _ODD_SHARE) * NormalDist(0, sd).pdf(distance) + odd) for sd in _SDS)
