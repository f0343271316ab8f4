"""Where a training is in its learning-rate schedule, as far as its learning rates tell."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from .curve import Point

DECAYED = 0.1  # of the peak: a rate that has fallen this far has done its work, if it falls to the end
_LATE = 0.9  # of the training: a decay that reaches zero before may be followed by a restart
_SAME = 0.01  # two rates within 1 % are one: logs round them


class Phase(StrEnum):
    """What the learning rates say of the decay."""

    NOT_LOGGED = "not logged"
    WARM_UP = "warm-up"
    HIGH = "high"
    LOW_WITHOUT_END = "low, and the end of its decay is not certain"
    DECAYED = "decayed"


def find_phase(rates: Sequence[Point], total_steps: int | None) -> Phase:
    """Return the phase after the last of `rates`.

    A stop is allowed once the rate is at most 10 % of its peak, and falls so that it ends with the training.  A rate
    that stands still says nothing of what comes: constant, steps, and warm-up-stable-decay look alike before their
    last decay.  A decay that ends long before the training may be one of several (warm restarts).

    >>> find_phase([Point(step, 1 - step / 100) for step in range(96)], 100)
    <Phase.DECAYED: 'decayed'>
    >>> find_phase([Point(step, 1.0) for step in range(96)], 100)
    <Phase.HIGH: 'high'>
    """
    rates = [point for point in rates if point.value >= 0]
    if not rates:
        return Phase.NOT_LOGGED
    peak, now = max(point.value for point in rates), rates[-1]
    if now.value == peak and now.value > (1 + _SAME) * rates[-1 - max(1, len(rates) // 10) :][0].value:
        return Phase.WARM_UP
    if now.value > DECAYED * peak * (1 + _SAME) or not peak:
        return Phase.HIGH
    return Phase.DECAYED if _ends_with_training(rates, total_steps) else Phase.LOW_WITHOUT_END


def comparable(validations: Sequence[Point], rates: Sequence[Point]) -> list[Point]:
    """Return validations without those that are no better than the best before, at a higher learning rate than it.

    Such a one says nothing: after a restart, validation is worse until the rate has fallen again.

    >>> rates = [Point(1, 0.01), Point(2, 0.1), Point(3, 0.01)]
    >>> [p.step for p in comparable([Point(1, 2.0), Point(2, 2.5), Point(3, 1.9)], rates)]
    [1, 3]
    """
    kept: list[Point] = []
    best: tuple[float, float] | None = None  # its value and the rate at it
    number, rate = 0, 0.0
    for point in validations:
        while number < len(rates) and rates[number].step <= point.step:
            rate, number = rates[number].value, number + 1
        if best is None or point.value < best[0]:
            best = point.value, rate
        elif rate > best[1] * (1 + _SAME):
            continue
        kept.append(point)
    return kept


def _ends_with_training(rates: Sequence[Point], total_steps: int | None) -> bool:
    """Whether the last decay goes on to the end of the training, or is there."""
    now = rates[-1]
    if total_steps is None:
        return False
    if now.step >= total_steps:
        return True
    if now.value and now.value >= rates[-2:][0].value:
        return False
    starts = _cycle_starts(rates)
    if len(starts) > 1 and starts[-1] + (starts[-1] - starts[-2]) < total_steps * (1 - _SAME):
        return False
    return now.step >= _LATE * total_steps or _reaches_zero(rates, total_steps)


def _cycle_starts(rates: Sequence[Point]) -> list[int]:
    """Return the steps at which cycles begin: the first, and each after a fall where the rate rises above 10 % of the peak again."""
    peak, starts, was_low = max(point.value for point in rates), [rates[0].step], False
    for before, now in pairwise(rates):
        was_low = was_low or now.value < before.value * (1 - _SAME)
        if was_low and now.value > before.value * (1 + _SAME) and now.value > DECAYED * peak:
            starts.append(now.step)
            was_low = False
    return starts


def _reaches_zero(rates: Sequence[Point], total_steps: int) -> bool:
    """Whether a line through the last two rates is at zero in the last tenth of the training or later."""
    before, now = rates[-2:][0], rates[-1]
    if before.value <= now.value:
        return False
    zero = now.step + now.value * (now.step - before.step) / (before.value - now.value)
    return zero >= _LATE * total_steps
