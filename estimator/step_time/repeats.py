"""Runs of exactly the job's shape: which of them answer for it, and the range in which another would be."""

import math
from collections.abc import Sequence
from statistics import NormalDist, median

from ..job.shape import Shape
from ..measurements.measurement import Measurement
from ..measurements.repeats import sd_of_repeats
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

    With s the deviation by `sd_of_repeats` of n runs and z the 90 % point of the normal distribution, the range is
    z s sqrt(1 + 1/n) either way, and at least `LEAST_MEASURED_SPREAD`.
    """
    times = [m.step_time_s for m in repeats]
    spread = max(median([m.spread or 0.0 for m in repeats]), STATED_SPREAD)
    sd = sd_of_repeats(times, spread)
    width = math.expm1(_Z90 * sd * math.sqrt(1 + 1 / len(times)))
    return Range.around(median(times), max(width, LEAST_MEASURED_SPREAD))
