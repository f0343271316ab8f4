"""Two runs side by side: which is faster, whether that is more than chance, and what differs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from ..measurements.measurement import Measurement
from ..measurements.repeats import sd_of_repeats
from ..priors import STATED_SPREAD
from .differences import Difference, find_differences
from .run_facts import RunFacts

_Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class RunComparison:
    """Two runs, the speed of the second over that of the first, and what differs, the most telling first.

    Speed is in samples/s.  `chance` is the factor by which two runs of one shape differ at most in 95 of 100 cases, by
    `repeats` runs of the shape of the earlier one; with a single run, by published repeats.  None is not known.
    """

    first: RunFacts
    second: RunFacts
    speed_ratio: float | None
    chance: float
    repeats: int
    differences: tuple[Difference, ...]

    @property
    def is_beyond_chance(self) -> bool | None:
        """Return whether one is faster by more than runs of one shape differ by chance."""
        return None if self.speed_ratio is None else abs(math.log(self.speed_ratio)) > math.log(self.chance)


def compare_runs(first: RunFacts, second: RunFacts, repeats: Sequence[RunFacts] = ()) -> RunComparison:
    """Return the comparison of two runs; `repeats` are runs in the shape of the earlier one, itself included."""
    one, other = first.measurement, second.measurement
    times_s = [run.measurement.step_time_s for run in repeats if run.measurement]
    sd = sd_of_repeats(times_s or [1.0], STATED_SPREAD)
    return RunComparison(
        first,
        second,
        samples_per_s(other) / samples_per_s(one) if one and other else None,
        math.exp(_Z95 * sd * math.sqrt(2)),
        len(times_s),
        tuple(find_differences(first, second)),
    )


def samples_per_s(measurement: Measurement) -> float:
    """Return the samples/s of all GPUs."""
    return measurement.shape.step_samples / measurement.step_time_s
