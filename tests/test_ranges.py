"""Ranges: their percentiles survive drawing, scaling and summing."""

import math
import random
from typing import Any

import pytest

from clusterplan.estimator.ranges import DRAWS, Range, quantile

RANGES = [Range(20, 75, 370), Range(0, 0.067, 0.131), Range(95, 100, 105), Range(0.001, 5, 5.1)]


@pytest.mark.parametrize("known", RANGES, ids=str)
def test_draws_have_the_percentiles_they_were_made_from(known: Any) -> None:
    drawn = Range.of_draws(known.draws(term=3))
    assert (drawn.p10, drawn.p50, drawn.p90) == pytest.approx(
        (known.p10, known.p50, known.p90), rel=0.01, abs=1e-9
    )


def test_an_exact_value_stays_exact() -> None:
    assert set(Range.exactly(7).draws(0)) == {7}


def test_terms_are_independent() -> None:
    left, right = Range(50, 100, 200).draws(1), Range(50, 100, 200).draws(2)
    mean = sum(left) / DRAWS
    covariance = sum((a - mean) * (b - mean) for a, b in zip(left, right, strict=True)) / DRAWS
    assert abs(covariance) / (sum((a - mean) ** 2 for a in left) / DRAWS) < 0.06


def test_the_percentiles_of_a_sum_are_those_of_independent_random_sums() -> None:
    terms = [Range(20, 75, 370), Range(900, 1000, 1200), Range(0, 60, 130)]
    ours = Range.of_draws(sum(x) for x in zip(*(r.draws(i) for i, r in enumerate(terms)), strict=True))
    rng = random.Random(1)
    pools = [r.draws(0) for r in terms]
    sums = sorted(sum(rng.choice(pool) for pool in pools) for _ in range(100_000))
    theirs = [quantile(sums, q) for q in (0.1, 0.5, 0.9)]
    assert [ours.p10, ours.p50, ours.p90] == pytest.approx(theirs, rel=0.015)


def test_the_product_adds_logarithmic_variances() -> None:
    product = Range(50, 100, 200).times(Range(50, 100, 200))
    assert product.p90 == pytest.approx(10_000 * 2 ** math.sqrt(2))


@pytest.mark.parametrize("values", [(2, 1, 3), (-1, 0, 1), (1, 2, math.inf), (math.nan, 1, 2)])
def test_what_is_no_range_is_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="not an ascending range"):
        Range(*values)
