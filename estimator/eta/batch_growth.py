"""A global batch that grows: the steps to come hold more samples than those so far, and take longer.

Megatron-LM and NeMo ramp the batch up (`--rampup-batch-size`).  A step of batch G takes a + b G: b is what each
micro-batch costs, a what each step does once.  Before two batches are seen, a is 0.
"""

from collections.abc import Sequence
from itertools import pairwise

from ..measurements.training_loop import LoopLine, LoopSteps
from .pace import later_half

_SAME = 0.01  # relative difference up to which batches are the same


def growth_of_step_time(lines: Sequence[LoopLine], total: int, samples: int | None) -> float:
    """Return the mean time of the steps to come over that of the last ones; 1 if the batch stays, or is not known.

    `samples` are those of all `total` steps.

    >>> small = [LoopSteps(10.0 * n, n, 1, 1.0, 1.0, samples=8) for n in range(1, 11)]
    >>> growth_of_step_time(small, 20, 8 * 10 + 16 * 10)  # ten steps of 16 to come
    2.0
    """
    known = [line for line in lines if isinstance(line, LoopSteps) and line.samples]
    if not samples or not known or known[-1].step >= total:
        return 1.0
    last, recent = known[-1], later_half(known)
    batch = sum(line.samples or 0 for line in recent) / sum(line.steps for line in recent)
    left = (samples - _consumed(known)) / (total - last.step)
    if left <= 0 or abs(left / batch - 1) <= _SAME:
        return 1.0
    once, each = _fit(known)
    return (once + each * left) / (once + each * batch)


def _batch(line: LoopSteps) -> float:
    return (line.samples or 0) / line.steps


def _consumed(lines: Sequence[LoopSteps]) -> float:
    """The samples up to the last line; steps that no line tells have the batch of the lines around them."""
    consumed = _batch(lines[0]) * lines[0].step
    for before, line in pairwise(lines):
        if line.step > before.step:
            consumed += (line.samples or 0) + (line.step - line.steps - before.step) * _batch(before)
    return consumed


def _fit(lines: Sequence[LoopSteps]) -> tuple[float, float]:
    """The seconds of a step that do not depend on its batch, and those per sample: least squares, neither below 0."""
    points = [(_batch(line), line.seconds / line.steps, line.steps) for line in lines[1:]] or [(1.0, 1.0, 1)]
    weight = sum(steps for *_, steps in points)
    batch = sum(g * steps for g, _, steps in points) / weight
    seconds = sum(s * steps for _, s, steps in points) / weight
    spread = sum(steps * (g - batch) ** 2 for g, _, steps in points)
    if spread <= weight * (_SAME * batch) ** 2:
        return 0.0, 1.0
    each = sum(steps * (g - batch) * (s - seconds) for g, s, steps in points) / spread
    each = min(max(each, 0.0), seconds / batch)
    return seconds - each * batch, each
