"""One throughput carried to another shape or precision, with published ratios and their spread.

A synchronous step of micro-batch b on n GPUs runs at  n b a / t  samples/s, a micro-batches a step.
From the shape (n0, b0, p0) to (n, b, p) the rate of one GPU is multiplied by

    e^log2(n / n0)                      what each doubling keeps, e about 0.97
    (b / b0) / (f + (1 - f) b / b0)     a share f of the step does not shrink with b
    s(p0 -> p)                          speed of one precision over the other

each a range; see `priors`.
"""

import math
from dataclasses import dataclass

from ..cluster_profiles.precision import Precision
from .priors import EFFICIENCY_PER_DOUBLING, FIXED_SHARE, speed_ratio
from .ranges import Range


@dataclass(frozen=True)
class Shape:
    """What the step time depends on, as far as it is scaled here."""

    gpus: int
    batch_size: int
    precision: Precision


@dataclass(frozen=True)
class Ratio:
    """A factor on the rate, and the published ratios it rests on."""

    range: Range
    assumed: tuple[str, ...]


def rate_ratio(before: Shape, after: Shape) -> Ratio | None:
    """Samples/s per GPU in `after` over `before`; None where nothing published tells it.

    >>> ratio = rate_ratio(Shape(1, 32, Precision.BF16), Shape(8, 32, Precision.BF16)).range
    >>> round(ratio.p10, 3), round(ratio.p50, 3), round(ratio.p90, 3)
    (0.713, 0.914, 0.989)
    """
    ratio, assumed = Range.exactly(1), list[str]()
    if before.gpus != after.gpus:
        doublings = math.log2(after.gpus / before.gpus)
        kept = (x**doublings for x in _values(EFFICIENCY_PER_DOUBLING.range))
        ratio = ratio.times(Range(*sorted(kept)))
        assumed.append(EFFICIENCY_PER_DOUBLING.text)
    if before.batch_size != after.batch_size:
        relative = after.batch_size / before.batch_size
        gained = (relative / (f + (1 - f) * relative) for f in _values(FIXED_SHARE.range))
        ratio = ratio.times(Range(*sorted(gained)))
        assumed.append(FIXED_SHARE.text)
    if before.precision != after.precision:
        faster = speed_ratio(before.precision, after.precision)
        if faster is None:
            return None
        ratio = ratio.times(faster.range)
        assumed.append(faster.text)
    return Ratio(ratio, tuple(assumed))


def _values(r: Range) -> tuple[float, float, float]:
    return r.p10, r.p50, r.p90
