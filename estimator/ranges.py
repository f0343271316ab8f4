"""A quantity that is not known exactly: its P10, P50 and P90, and 2,000 draws of it.

Between the three the logarithm is taken as normal on each side of the median; where P10 is 0 the lower
side is linear.  Draws are stratified (a Latin hypercube with fixed shuffles), so that the same question
gets the same answer, sums of a few terms are exact to about 1 %, and no array library has to be loaded.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from statistics import NormalDist

DRAWS = 2_000
_Z90 = NormalDist().inv_cdf(0.9)
_Z_ZERO = NormalDist().inv_cdf(0.9 - 1 / DRAWS)  # a P10 of 0 falls to 0 just before it


@dataclass(frozen=True)
class Range:
    """P10, P50 and P90 of one quantity; all three are equal where it is known exactly."""

    p10: float
    p50: float
    p90: float

    def __post_init__(self) -> None:
        if not 0 <= self.p10 <= self.p50 <= self.p90 < math.inf:
            raise ValueError(f"not an ascending range of finite numbers >= 0: {self}")

    @classmethod
    def exactly(cls, value: float) -> "Range":
        return cls(value, value, value)

    @classmethod
    def around(cls, value: float, spread: float) -> "Range":
        """`value` with P10 and P90 a factor 1 + `spread` away.

        >>> Range.around(100, 0.05).p90
        105.0
        """
        return cls(value / (1 + spread), value, value * (1 + spread))

    @classmethod
    def of_draws(cls, draws: Iterable[float]) -> "Range":
        ordered = sorted(draws)
        return cls(*(quantile(ordered, q) for q in (0.1, 0.5, 0.9)))

    def scaled(self, factor: float) -> "Range":
        return Range(self.p10 * factor, self.p50 * factor, self.p90 * factor)

    def inverted(self, numerator: float) -> "Range":
        """`numerator` / this: a time becomes a rate."""
        return Range(numerator / self.p90, numerator / self.p50, numerator / self.p10)

    def at_least(self, floor: float) -> "Range":
        return Range(max(self.p10, floor), max(self.p50, floor), max(self.p90, floor))

    def times(self, other: "Range") -> "Range":
        """The product of two independent ranges; zero P10s are not for this.

        Logarithms add, and so do their variances on each side.

        >>> Range(50, 100, 200).times(Range.exactly(2)) == Range(100, 200, 400)
        True
        """
        low = math.hypot(math.log(self.p50 / self.p10), math.log(other.p50 / other.p10))
        high = math.hypot(math.log(self.p90 / self.p50), math.log(other.p90 / other.p50))
        median = self.p50 * other.p50
        return Range(median * math.exp(-low), median, median * math.exp(high))

    def draws(self, term: int) -> list[float]:
        """`DRAWS` values; ranges with different `term`s are independent."""
        if self.p10 == self.p90:
            return [self.p50] * DRAWS
        up = math.log(self.p90 / self.p50) / _Z90 if self.p50 else 0.0
        if self.p10 > 0:
            down = math.log(self.p50 / self.p10) / _Z90
            return [self.p50 * math.exp(z * (up if z > 0 else down)) for z in normals(term)]
        slope = self.p50 / _Z_ZERO
        return [
            self.p50 * math.exp(z * up) if z > 0 else max(self.p50 + z * slope, 0.0) for z in normals(term)
        ]


def quantile(ordered: Sequence[float], q: float) -> float:
    """The `q` quantile of ascending values, interpolated."""
    position = q * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@cache
def uniforms(term: int) -> tuple[float, ...]:
    """`DRAWS` evenly spread values in (0, 1), in an order of this term's own."""
    values = [(i + 0.5) / DRAWS for i in range(DRAWS)]
    Random(term).shuffle(values)  # noqa: S311  a fixed order, not a secret
    return tuple(values)


@cache
def normals(term: int) -> tuple[float, ...]:
    """The same, standard normal."""
    inverse = NormalDist().inv_cdf
    return tuple(inverse(u) for u in uniforms(term))
