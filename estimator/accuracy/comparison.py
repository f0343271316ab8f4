"""Two runs side by side: which is faster, whether that is more than chance, and what differs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..measurements.measurement import Measurement
from ..measurements.repeats import learn_spread
from .differences import Difference, find_differences
from .run_facts import RunFacts

_CLEAR = 0.975  # one pair of forty differs as much by chance, in this direction


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
    return RunComparison(
        first,
        second,
        samples_per_s(other) / samples_per_s(one) if one and other else None,
        learn_spread([times_s] if times_s else []).factor(1, _CLEAR),
        len(times_s),
        tuple(find_differences(first, second)),
    )


def samples_per_s(measurement: Measurement) -> float:
    """Return the samples/s of all GPUs."""
    return measurement.shape.step_samples / measurement.step_time_s
