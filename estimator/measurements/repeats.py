"""How far step times of one configuration differ from run to run."""

import math
from collections.abc import Sequence
from statistics import NormalDist, median

_Z90 = NormalDist().inv_cdf(0.9)
_SD_OF_MEDIAN_DISTANCE = 1 / NormalDist().inv_cdf(0.75)


def sd_of_repeats(times_s: Sequence[float], usual_spread: float) -> float:
    """Return the standard deviation of log T between runs of one shape, which took `times_s`.

    One run is known to h, the usual P90 of T over its median less 1.  With n runs and m the median distance of log T
    from its median, s^2 = ((log(1 + h) / z)^2 / 2 + (n - 1) (1.48 m)^2) / n, where z is the 90 % point of the normal
    distribution: the more runs agree, the smaller it is.

    >>> [round(sd_of_repeats([1.0] * n, 0.05), 4) for n in (1, 2, 8)]
    [0.0269, 0.019, 0.0095]
    """
    n, middle = len(times_s), median(times_s)
    sd_of_one = math.log1p(usual_spread) / _Z90
    sd_between = _SD_OF_MEDIAN_DISTANCE * median([abs(math.log(t / middle)) for t in times_s])
    return math.sqrt((sd_of_one**2 / 2 + (n - 1) * sd_between**2) / n)
