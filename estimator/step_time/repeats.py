"""Runs of exactly the job's shape: which of them answer for it, and the range in which another would be."""

import math
from collections.abc import Sequence
from statistics import median

from ..job.shape import Shape
from ..measurements.measurement import Measurement
from ..measurements.repeats import RepeatSpread, spread_of_runs
from ..ranges import Range
from .model.predict import Prediction

# A run that the others contradict by more than this factor is a mistake; a slow link alone has made steps 5 times
# longer (haotian-liu/LLaVA#594).
_MISTAKE_FACTOR = 10.0


def credible_repeats(shape: Shape, prediction: Prediction) -> tuple[Measurement, ...]:
    """Return the runs of exactly `shape` without mistakes: a wrong unit, or a single run that all others contradict.

    Probes count where there is no whole run: their GPUs have hardly got warm.
    """
    repeats = [m for m in prediction.runs if m.shape == shape]
    repeats = [m for m in repeats if not m.is_probe] or repeats
    mistakes = {
        id(s.measurement)
        for s in prediction.suspects
        if s.kind == "units" or (len(repeats) == 1 and s.doubt > math.log(_MISTAKE_FACTOR) ** 2)
    }
    return tuple(m for m in repeats if id(m) not in mistakes)


def range_of_repeats(repeats: Sequence[Measurement], prediction: Prediction) -> Range:
    """Return the range of the repeats; where the only one is suspect, as wide as the prediction by all runs too."""
    runs = (*prediction.runs, *prediction.of_other_models)
    on_several = repeats[0].nodes > 1  # whose network other jobs share
    step = measured_range(repeats, spread_of_runs(m for m in runs if (m.nodes > 1) == on_several))
    if len(repeats) > 1 or not any(s.measurement is repeats[0] for s in prediction.suspects):
        return step
    predicted = prediction.step_time_s
    return Range(min(step.p10, predicted.p10), step.p50, max(step.p90, predicted.p90))


def measured_range(repeats: Sequence[Measurement], spread: RepeatSpread) -> Range:
    """Return the range in which another run of one shape would be, in seconds; its P50 is the median of `repeats`.

    It is as wide as runs of the site differ, by their `spread`, and the mean of each run's own steps is known.
    """
    n = len(repeats)
    own = median([(m.spread or 0.0) / math.sqrt(m.n_steps or 1) for m in repeats]) / math.sqrt(n)
    return Range.around(median([m.step_time_s for m in repeats]), math.hypot(spread.factor(n, 0.9) - 1, own))
