"""Whether a series repeats itself, and how often: what an input stall looks like.  Pure."""

import statistics
from collections.abc import Sequence
from operator import mul

STALL_LEAST_DEVIATION = 3.0  # per cent; a flatter series has no saw-tooth
STALL_CORRELATION = 0.4
STALL_LIKE_HIGHEST = (
    0.9  # of the highest peak: every multiple of a period correlates, and the shortest is the period
)
STALL_LEAST_PERIODS = 5
STALL_SAMPLES, STALL_LONGEST_LAG = 3600, 400  # ten minutes of the driver's samples, periods up to a minute


def sawtooth_lag(series: Sequence[float]) -> int | None:
    """The period of a saw-tooth in samples, None if there is none.

    The autocorrelation of the series without its mean: the first peak after it has been negative, up to a fifth
    of the length, that is nearly as high as any other; it must be at least `STALL_CORRELATION`.

    >>> sawtooth_lag([90, 90, 90, 0, 0, 0] * 20)
    6
    """
    seen = series[:STALL_SAMPLES]
    if len(seen) < 2 * STALL_LEAST_PERIODS:
        return None
    mean = statistics.fmean(seen)
    centred = [value - mean for value in seen]
    power = sum(x * x for x in centred)
    if power < len(centred) * STALL_LEAST_DEVIATION**2:
        return None
    correlation = [
        sum(map(mul, centred, centred[lag:])) / power * len(centred) / (len(centred) - lag)
        for lag in range(min(len(centred) // STALL_LEAST_PERIODS, STALL_LONGEST_LAG) + 1)
    ]
    negative = next((lag for lag, value in enumerate(correlation) if value < 0), None)
    if negative is None or negative >= len(correlation) - 1:
        return None
    highest = max(correlation[negative:])
    if highest < STALL_CORRELATION:
        return None
    return next(
        lag
        for lag in range(negative, len(correlation))
        if correlation[lag] >= STALL_LIKE_HIGHEST * highest
        and (lag + 1 == len(correlation) or correlation[lag] >= correlation[lag + 1])
    )
