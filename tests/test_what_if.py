"""Other shapes: what is kept, which bounds are met, which shape is best."""

import time
from datetime import datetime
from typing import Any

import pytest
from conftest import Command

from clusterplan.cluster_profiles.local_time import parse_deadline_s
from clusterplan.cluster_profiles.profile import ClusterProfile
from clusterplan.errors import NotEnoughHistory, WorkloadError
from clusterplan.estimator.estimate.estimate import Estimate, estimate_workload
from clusterplan.estimator.estimate.shapes import (
    WORTHWHILE,
    Budget,
    Keep,
    Verdict,
    choose_best,
    efficiency,
    find_knee,
    judge_bounds,
    parse_budget,
    speed_up,
    vary_shapes,
)
from clusterplan.estimator.job.workload import Workload
from clusterplan.render.estimate.text import Bound, write_estimates
from clusterplan.render.layout import Page

SEED = Workload.of(samples=1_000_000, batch_size=32, gpus=8, samples_per_s=44.3)


def estimates(
    gpus: list[int],
    keep: Keep = Keep.PER_GPU_BATCH,
    base: Workload = SEED,
    profile: ClusterProfile | None = None,
) -> list[Estimate]:
    return [estimate_workload(w, profile) for w in vary_shapes(base, gpus, ["auto"], keep)]


def test_the_per_gpu_batch_is_kept() -> None:
    assert [e.steps.total for e in estimates([1, 8, 16])] == [31_250, 3907, 1954]


def test_the_global_batch_is_kept() -> None:
    found = estimates([1, 2, 8, 16, 64], Keep.GLOBAL_BATCH)
    batches = [(e.workload.training.batch_size, e.workload.training.accumulation) for e in found]
    assert batches == [(32, 8), (32, 4), (32, 1), (16, 1), (4, 1)]
    assert {e.steps.total for e in found} == {3907}


def test_a_global_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(WorkloadError, match="256 does not divide over 24 data-parallel GPUs"):
        vary_shapes(SEED, [24], ["auto"], Keep.GLOBAL_BATCH)


@pytest.mark.parametrize(("deadline_h", "expected"), [(9, "yes"), (7, "maybe"), (5, "no")])
def test_a_deadline_is_met_at_p90_at_p50_or_not(deadline_h: int, expected: str) -> None:
    (answer,) = estimates([8])
    assert judge_bounds(answer, deadline_h * 3600, None).deadline == expected


@pytest.mark.parametrize(
    ("when", "hours"), [("2026-10-26T12:00", 49), ("2026-10-26T12:00+01:00", 49), ("2026-10-25", 12)]
)
def test_a_deadline_counts_the_hour_by_which_clocks_are_put_back(
    monkeypatch: pytest.MonkeyPatch, when: str, hours: int
) -> None:
    with monkeypatch.context() as berlin:
        berlin.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        seconds = parse_deadline_s(when, datetime(2026, 10, 24, 12))  # noqa: DTZ001  of this machine
    time.tzset()
    assert seconds == hours * 3600


@pytest.mark.parametrize(
    ("when", "hours"),
    [
        ("tomorrow", 12),
        ("tomorrow 18:00", 30),
        ("Today at 18:00", 6),
        ("friday", 12),
        ("fri 9:30", 21.5),
        ("thursday", 7 * 24 - 12),
        ("thu 13:00", 1),
    ],
)
def test_a_deadline_may_be_a_day_in_words(when: str, hours: float) -> None:
    assert parse_deadline_s(when, datetime(2026, 11, 26, 12)) == hours * 3600  # noqa: DTZ001  a Thursday


@pytest.mark.parametrize(
    "when", ["today", "yesterday", "tomorrow 25:00", "t", "noon", "fridge", "today 11:00"]
)
def test_a_day_in_words_that_is_none_or_has_passed_is_refused(when: str) -> None:
    with pytest.raises(ValueError, match=r"is in the past|is neither a duration"):
        parse_deadline_s(when, datetime(2026, 11, 26, 12))  # noqa: DTZ001  a Thursday


def test_under_a_deadline_the_cheapest_is_best_and_under_a_budget_the_fastest() -> None:
    found = estimates([1, 2, 4, 8, 16, 32])
    by_deadline = choose_best(found, [judge_bounds(e, 12 * 3600, None) for e in found])
    by_budget = choose_best(found, [judge_bounds(e, None, Budget(60)) for e in found])
    assert found[by_deadline].placement.gpus == 8
    assert found[by_budget].placement.gpus == max(e.placement.gpus for e in found if e.gpu_hours.p90 <= 60)


def test_without_bounds_nothing_is_best() -> None:
    found = estimates([1, 2])
    assert choose_best(found, [judge_bounds(e, None, None) for e in found]) is None


def test_a_deadline_of_an_unknown_throughput_is_something_missing() -> None:
    unknown = estimate_workload(Workload.of(samples=1_000_000, batch_size=32, gpus=8))
    with pytest.raises(NotEnoughHistory, match="a deadline cannot be judged"):
        judge_bounds(unknown, 3600, None)


def priced(currency: str = "EUR") -> ClusterProfile:
    return ClusterProfile.model_validate(
        {
            "name": "test",
            "partitions": [{"name": "gpu", "nodes": 9, "gpus_per_node": 8}],
            "rates": {"currency": currency, "date": "2026-11-01", "per_gpu_hour": 2.0},
        }
    )


def test_cost_is_gpu_hours_at_the_profiles_rate() -> None:
    (answer,) = estimates([8], profile=priced())
    assert answer.cost.amount.p50 == pytest.approx(2 * answer.gpu_hours.p50)
    assert (answer.cost.currency, answer.cost.rates_of) == ("EUR", "2026-11-01")


def test_a_budget_in_money_needs_rates_in_that_money() -> None:
    (answer,) = estimates([8], profile=priced())
    assert judge_bounds(answer, None, Budget(200, "EUR")).budget is Verdict.YES
    assert judge_bounds(answer, None, Budget(20, "EUR")).budget is Verdict.NO
    with pytest.raises(WorkloadError, match="its rates are in EUR"):
        judge_bounds(answer, None, Budget(200, "USD"))


@pytest.mark.parametrize(
    "text",
    ["500", "GPU-hours", "-5 GPU-hours", "0 GPU-hours", "5 hours", "1e99 EUR x", "nan EUR", "1e99 EUR"],
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a budget"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["500 GPU-hours", "500 gpu hours", "500 gpuh"])
def test_gpu_hours_have_several_spellings(text: str) -> None:
    assert parse_budget(text) == Budget(500)


def test_a_prior_says_nothing_of_scaling() -> None:
    base = Workload.of(samples=1000, batch_size=1, gpus=8, seq_len=2048, parameters=7e9, gpu="h100-sxm")
    one, other = estimates([8, 16], base=base)
    assert speed_up(one, other) is None


def test_the_same_shape_twice_is_one_row(clusterplan: Command) -> None:
    done = clusterplan(*"estimate --samples 1000 --batch-size 1 --gpus 8,08 --step-time 1".split())
    assert done.stdout.startswith("steps")


def test_the_knee_is_the_largest_shape_worth_its_gpus() -> None:
    """A global batch of 256 leaves each of 128 GPUs 2 samples, and the fixed cost of a step."""
    fast = Workload.of(samples=1_000_000, batch_size=32, gpus=8, samples_per_s_per_gpu=200)
    found = estimates([8, 16, 128], Keep.GLOBAL_BATCH, fast)
    kept = [efficiency(found, e) for e in found]
    assert kept[1]
    assert kept[2]
    assert kept[1] > WORTHWHILE > kept[2]
    assert find_knee(found) == 1
    assert find_knee(found, "p10") in (0, 1)
    assert find_knee(found, "p90") in (1, None)


def test_there_is_no_knee_where_every_shape_is_worth_it() -> None:
    assert find_knee(estimates([8, 16])) is None


def test_a_partition_may_have_a_price_of_its_own() -> None:
    profile = priced()
    dear = profile.partitions[0].model_copy(update={"per_gpu_hour": 5.0})
    (answer,) = estimates([8], profile=profile.model_copy(update={"partitions": (dear,)}))
    assert answer.cost.amount.p50 == pytest.approx(5 * answer.gpu_hours.p50)


@pytest.mark.parametrize(("width", "there", "gone"), [(80, "efficiency", "nodes"), (120, "nodes", "nothing")])
def test_a_narrow_page_loses_columns_and_not_its_shape(width: int, there: str, gone: str) -> None:
    page = Page(width, colour=False)
    found = estimates([1, 8, 16])
    judged = [judge_bounds(e, 12 * 3600, None) for e in found]
    write_estimates(page, found, Keep.PER_GPU_BATCH, judged, [Bound("deadline", "12h")], 1)
    header, *rows = str(page).splitlines()[:4]
    assert there in header
    assert gone not in header
    assert max(map(len, [header, *rows])) <= width


def page_of(
    found: list[Estimate], keep: Keep = Keep.PER_GPU_BATCH, bounds: list[str] | tuple[Any, ...] = ()
) -> str:
    page = Page(120, colour=False)
    judged = [
        judge_bounds(e, 3600 if bounds else None, Budget(1) if len(bounds) > 1 else None) for e in found
    ]
    write_estimates(page, found, keep, judged, [Bound(b, "1") for b in bounds], None)
    return str(page)


def test_efficiency_compares_shapes_of_one_precision() -> None:
    base = Workload.of(samples=1_000_000, batch_size=32, gpus=8, samples_per_s=44.3, gpu="a100-sxm4-80gb")
    found = [estimate_workload(w) for w in vary_shapes(base, [8, 16], ["fp32", "bf16"])]
    assert [efficiency(found, e) for e in found[:2]] == [1, 1]
    assert all(0.95 < efficiency(found, e) < 1 for e in found[2:])


def test_what_is_kept_is_only_said_of_several_gpu_counts() -> None:
    by_precision = [estimate_workload(w) for w in vary_shapes(SEED, [8], ["fp16", "bf16"])]
    assert "--keep" not in page_of(by_precision)
    assert "the global batch stays 256" in page_of(estimates([8, 16], Keep.GLOBAL_BATCH), Keep.GLOBAL_BATCH)


def test_no_shape_is_best_of_two_bounds() -> None:
    assert "best: none; no shape meets both at P90" in page_of(
        estimates([8, 16]), bounds=["deadline", "budget"]
    )


def test_what_the_trainer_said_belongs_to_the_jobs_own_gpu_count() -> None:
    said = SEED.model_copy(update={"training": SEED.training.model_copy(update={"trainer_steps": 31_250})})
    doubted = [any(a.code == "trainer-steps" for a in e.warnings) for e in estimates([1, 8, 16], base=said)]
    assert doubted == [False, True, False]
