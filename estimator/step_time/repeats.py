"""Runs of exactly the job's shape: which of them answer for it, and the range in which another would be."""

import math
from collections.abc import Sequence
from statistics import NormalDist, median

from ..job.shape import Shape
from ..measurements.measurement import Measurement
from ..priors import STATED_SPREAD
from ..ranges import Range
from .model.predict import Prediction

# The least spread of a measured shape, however well its runs agree.  One repeats to 0.1 to 0.4 % in MLPerf Training
# v4.1 logs, on machines that nobody shares.
LEAST_MEASURED_SPREAD = 0.02
# A run that the others contradict by more than this factor is a mistake; a slow link alone has made steps 5 times
# longer (haotian-liu/LLaVA#594).
_MISTAKE_FACTOR = 10.0
_Z90 = NormalDist().inv_cdf(0.9)
_SD_OF_MEDIAN_DISTANCE = 1 / NormalDist().inv_cdf(0.75)


def credible_repeats(shape: Shape, prediction: Prediction) -> tuple[Measurement, ...]:
    """Return the runs of exactly `shape` without mistakes: a wrong unit, or a single run that all others contradict."""
    repeats = [m for m in prediction.runs if m.shape == shape]
    mistakes = {
        id(s.measurement)
        for s in prediction.suspects
        if s.kind == "units" or (len(repeats) == 1 and s.doubt > math.log(_MISTAKE_FACTOR) ** 2)
    }
    return tuple(m for m in repeats if id(m) not in mistakes)


def range_of_repeats(repeats: Sequence[Measurement], prediction: Prediction) -> Range:
    """Return the range of the repeats; where the only one is suspect, as wide as the prediction by all runs too."""
    step = measured_range(repeats)
    if len(repeats) > 1 or not any(s.measurement is repeats[0] for s in prediction.suspects):
        return step
    predicted = prediction.step_time_s
    return Range(min(step.p10, predicted.p10), step.p50, max(step.p90, predicted.p90))


def measured_range(repeats: Sequence[Measurement]) -> Range:
    """Return the range in which another run of one shape would be, in seconds; its P50 is the median of `repeats`.

    One run is known to h: the spread of its steps, at least `STATED_SPREAD`.  With n runs, z the 90 % point of the
    normal distribution and m the median distance of log T from its median, the range is z s sqrt(1 + 1/n) either way,
    where s^2 = ((log(1 + h) / z)^2 / 2 + (n - 1) (1.48 m)^2) / n: the more runs agree, the narrower it is, down to
    `LEAST_MEASURED_SPREAD`.
    """
    n, times = len(repeats), [m.step_time_s for m in repeats]
    middle = median(times)
    sd_of_one = math.log1p(max(median([m.spread or 0.0 for m in repeats]), STATED_SPREAD)) / _Z90
    sd_between = _SD_OF_MEDIAN_DISTANCE * median([abs(math.log(t / middle)) for t in times])
    sd = math.sqrt((sd_of_one**2 / 2 + (n - 1) * sd_between**2) / n)
    return Range.around(middle, max(math.expm1(_Z90 * sd * math.sqrt(1 + 1 / n)), LEAST_MEASURED_SPREAD))
