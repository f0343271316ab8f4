"""The steps of a batch ramp-up, as Megatron-LM and NeMo count them.

After n samples the batch is start + increment x floor(n / (samples / levels)), with levels = (global batch - start) /
increment, and beyond `samples` it is the global batch: `--rampup-batch-size` in
https://github.com/NVIDIA/Megatron-LM/blob/main/megatron/core/num_microbatches_calculator.py
"""

from fractions import Fraction

from ...cluster_profiles.units import ceil_div
from ..job.training import BatchRampup


def count_rampup(
    rampup: BatchRampup, global_batch: int, samples: int | None, max_steps: int | None
) -> tuple[int, int]:
    """Return the steps below the global batch and the samples in them, of a run of at most `samples` and `max_steps`.

    Each turn takes all steps of one level.

    >>> count_rampup((192, 16, 9_765_625), 2048, 220_000_000, None)
    (12658, 9765808)
    """
    start, increment, over = rampup
    levels = (global_batch - start) // increment
    per_level = over / levels  # a float, as there
    steps = consumed = 0
    while consumed <= over and (level := int(consumed / per_level)) < levels:
        batch = start + level * increment
        end = _first_of_level(level + 1, over, levels)
        wanted = ceil_div(end - consumed, batch)
        left = wanted if samples is None else (samples - consumed) // batch
        taken = min(wanted, left, wanted if max_steps is None else max_steps - steps)
        steps, consumed = steps + taken, consumed + taken * batch
        if taken < wanted:
            break
    return steps, consumed


def _first_of_level(level: int, over: int, levels: int) -> int:
    """The smallest number of samples at which a level is reached; floats may reach it one sample late."""
    exact = Fraction(level * over, levels)
    first = ceil_div(exact.numerator, exact.denominator)
    return first if int(first / (over / levels)) >= level else first + 1
