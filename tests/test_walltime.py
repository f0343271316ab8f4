"""Wall-clock: its parts, its percentiles, and how it fits under a time limit."""

import math
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import SCALE
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterplan.api.job import read_workload
from clusterplan.cluster_profiles.catalog import load_profile
from clusterplan.cluster_profiles.profile import ClusterProfile
from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.estimator.estimate.interruptions import poisson_quantile, repeated_intervals, young_daly_s
from clusterplan.estimator.estimate.walltime import GRACE_S
from clusterplan.estimator.job.workload import Workload
from clusterplan.estimator.priors import (
    CHECKPOINT_S,
    EVALUATION_SHARE_UNSTATED,
    STARTUP_S,
    evaluation_shrinkage,
)
from clusterplan.estimator.ranges import Range, normals, quantile, uniforms
from clusterplan.estimator.step_time.source import SourceKind

PARTS = ("startup", "training", "evaluation", "checkpoints", "restarts")


def job(**tables: Any) -> Workload:
    values = {"data": {"samples": 1_000_000}, "training": {"batch_size": 32, "gpus": 8}}
    return Workload.model_validate({**values, "throughput": {"samples_per_s": 44.3}, **tables})


def cluster(limit: str | None, **extra: Any) -> ClusterProfile:
    partition = {"name": "gpu", "nodes": 100, "gpus_per_node": 8}
    if limit:
        partition["time_limit"] = limit
    return ClusterProfile.model_validate({"name": "test", "partitions": [partition], **extra})


def test_every_part_is_a_range_with_a_source() -> None:
    parts = estimate_workload(job()).clock.parts
    assert tuple(parts) == PARTS
    kinds = [parts[name].source.kind for name in PARTS]
    assert kinds == [SourceKind.PRIOR, SourceKind.GIVEN, SourceKind.PRIOR, SourceKind.PRIOR, SourceKind.PRIOR]


def test_what_is_given_is_exact() -> None:
    stated = job(
        evaluation={"every_steps": 1000, "time_s": 60},
        checkpoint={"every_steps": 500, "time_s": 30},
        startup={"time_s": "2m"},
    )
    parts = estimate_workload(stated, cluster(None, node_failures_per_1000_days=0)).clock.parts
    assert parts["startup"].seconds == Range.exactly(120)
    assert parts["evaluation"].seconds == Range.exactly(3 * 60)
    assert parts["checkpoints"].seconds == Range.exactly(8 * 30)  # 7 on the way and the last
    assert parts["restarts"].seconds == Range.exactly(0)
    assert {parts[name].source.kind for name in PARTS} == {SourceKind.GIVEN}


def test_evaluation_of_unknown_length_is_a_wide_range_and_never_nothing() -> None:
    parts = estimate_workload(job(evaluation={"every_steps": 100})).clock.parts
    evaluation = parts["evaluation"].seconds
    assert 0 < evaluation.p10 < evaluation.p50 / 5
    assert evaluation.p90 > 5 * evaluation.p50
    assert parts["evaluation"].source.kind is SourceKind.PRIOR


# all_results.json on huggingface.co: (model, train samples/s, samples per evaluation, eval_runtime, training)
ZEPHYR: list[tuple[str, float, int, float, dict[str, Any]]] = [
    ("alignment-handbook/zephyr-7b-sft-full", 24.834, 15_431, 143.3, {"recompute": True}),
    ("tanliboy/zephyr-7b-sft-full", 10.4, 15_431, 332.9, {"recompute": True}),
    ("weijie210/zephyr-7b-teacher", 2.726, 708, 72.4, {"recompute": True}),
]


@pytest.mark.parametrize("run", ZEPHYR, ids=lambda run: run[0])
def test_evaluation_of_known_samples_takes_their_forward_passes(run: tuple[Any, ...]) -> None:
    _, rate, samples, seconds, training = run
    workload = job(
        data={"samples": 139_427},
        training={"batch_size": 16, "gpus": 8, **training},
        throughput={"samples_per_s": rate},
        evaluation={"every_epochs": 1, "samples": samples},
    )
    evaluation = estimate_workload(workload).clock.parts["evaluation"].seconds
    assert evaluation.p50 == pytest.approx(seconds, rel=0.15)
    assert evaluation.p10 < seconds < evaluation.p90


def test_held_out_samples_are_those_of_an_evaluation() -> None:
    # LLaMA-Factory's `val_size: 0.1` and `eval_strategy: epoch` (examples/train_lora in hiyouga/LlamaFactory).
    held_out = job(data={"samples": 10_000, "validation_share": 0.1}, evaluation={"every_epochs": 1})
    stated = job(data={"samples": 9_000}, evaluation={"every_epochs": 1, "samples": 1_000})
    ours, same = (estimate_workload(workload).clock.parts["evaluation"] for workload in (held_out, stated))
    assert ours == same


def test_frozen_weights_make_a_forward_pass_a_larger_part_of_training() -> None:
    # zephyr-7b-sft-qlora by ale-bay (huggingface.co): 4.495 samples/s in training, 15,431 evaluated in 970 s.
    workload = job(
        data={"samples": 139_427},
        training={"batch_size": 4, "gpus": 4, "recompute": True},
        architecture={"parameters": 7.24e9, "trainable_parameters": 40e6},
        throughput={"samples_per_s": 4.495},
        evaluation={"every_epochs": 1, "samples": 15_431},
    )
    evaluation = estimate_workload(workload).clock.parts["evaluation"].seconds
    assert evaluation.p10 < 970 < evaluation.p90
    assert evaluation.p50 == pytest.approx(15_431 / 4.495 / 3, rel=0.01)


def test_blooms_118_days_hold_its_evaluations_of_unstated_length() -> None:
    # github.com/bigscience-workshop/bigscience, train/tr11-176B-ml: 115,311 steps, an evaluation every 1,000.
    workload = job(
        data={"samples": 115_311 * 2048},
        training={
            "batch_size": 2,
            "gpus": 384,
            "tensor_parallel": 4,
            "pipeline_parallel": 12,
            "accumulation": 128,
            "framework": "megatron",
        },
        throughput={"step_time": 117 * 86400 / 115_311},
        evaluation={"every_steps": 1000},
        architecture={"parameters": 176e9},
    )
    clock = estimate_workload(workload).clock
    assert clock.total.p10 < 118 * 86400 < clock.total.p90


def test_an_evaluation_that_nobody_mentions_takes_little_of_a_run_of_weeks() -> None:
    # TinyLlama (github.com/jzhang38/TinyLlama): 3 epochs of 1e12 tokens, 24,000 tokens/s per A100-40G, 90 days.
    workload = job(
        data={"tokens": 1e12, "seq_len": 2048},
        training={"batch_size": 8, "gpus": 16, "accumulation": 8, "epochs": 3},
        throughput={"tokens_per_s": 16 * 24_000},
        architecture={"parameters": 1.1e9},
    )
    clock = estimate_workload(workload).clock
    assert clock.parts["evaluation"].seconds.p90 < 0.015 * clock.parts["training"].seconds.p50
    assert clock.total.p10 * 1.02 < 90 * 86400 < clock.total.p50


def test_a_job_that_never_evaluates_takes_no_time_for_it() -> None:
    assert estimate_workload(job(evaluation={"every_steps": 0})).clock.parts[
        "evaluation"
    ].seconds == Range.exactly(0)


def test_the_whole_is_calibrated() -> None:
    # The same parts, drawn independently and at random, fall below our percentiles as often as these say.
    answer, rng = estimate_workload(job()), random.Random(7)
    training = answer.clock.parts["training"].seconds
    pools = {
        "startup": STARTUP_S.range.draws(0),
        "training": training.draws(0),
        "share": EVALUATION_SHARE_UNSTATED.range.scaled(evaluation_shrinkage(training.p50)).draws(0),
        "checkpoint": CHECKPOINT_S.range.draws(0),
    }
    draws = []
    for _ in range(40_000):
        s, t, e, c = (rng.choice(pool) for pool in pools.values())
        draws.append(s + t + t * e + c)
    whole = answer.clock.total
    for bound, share in ((whole.p10, 0.1), (whole.p50, 0.5), (whole.p90, 0.9), (answer.clock.p95, 0.95)):
        assert sum(d < bound for d in draws) / len(draws) == pytest.approx(share, abs=0.015)


def save_s(parameters: float, nodes: int = 1, **training: Any) -> Range:
    trained = {"trainable_parameters": trained} if (trained := training.pop("trained", None)) else {}
    workload = job(
        architecture={"parameters": parameters, **trained},
        training={"batch_size": 1, "gpus": 8 * nodes, **training},
        checkpoint={"every_steps": 10**9},
    )
    return estimate_workload(workload).clock.parts["checkpoints"].seconds


@pytest.mark.parametrize(
    ("parameters", "nodes", "training", "seconds"),
    [
        (124e6, 1, {}, 5.4),  # github.com/karpathy/llm.c/pull/651
        (7e9, 1, {}, 148.8),  # pytorch.org/blog/reducing-checkpointing-times
        (8e9, 1, {"zero_stage": 3}, 360),  # github.com/pytorch/torchtitan/issues/1301
        (
            176e9,
            48,
            {"zero_stage": 1, "tensor_parallel": 4, "pipeline_parallel": 12},
            40,
        ),  # BLOOM, stas00/ml-engineering
        (1e12, 384, {"tensor_parallel": 8, "pipeline_parallel": 64}, 51),  # arXiv:2104.04473
        (13e9, 1, {"tensor_parallel": 8}, 5 * 60),  # epfLLM/Megatron-LLM#69: 5 to 15 minutes
        (13e9, 1, {"tensor_parallel": 8}, 15 * 60),
        (4e9, 1, {"zero_stage": 3}, 60),  # NVIDIA-NeMo/Automodel#3125: Qwen3 4B
    ],
)
def test_published_saves_are_inside(
    parameters: float, nodes: int, training: dict[str, Any], seconds: float
) -> None:
    save = save_s(parameters, nodes, **training)
    assert save.p10 < seconds < save.p90


def test_a_save_grows_with_what_is_trained_and_shrinks_with_the_nodes_that_write() -> None:
    assert save_s(70e9).p50 == pytest.approx(10 * save_s(7e9).p50)
    assert save_s(7e9, trained=70e6).p50 == pytest.approx(save_s(7e9).p50 / 100)
    assert save_s(70e9, 4, zero_stage=3).p50 == pytest.approx(save_s(70e9).p50 / 4)
    assert save_s(70e9, 4, zero_stage=0).p50 == save_s(70e9).p50
    unstated = save_s(70e9, 4)
    assert unstated.p10 < save_s(70e9, 4, zero_stage=3).p50 < save_s(70e9).p50 < unstated.p90


def test_a_save_of_a_model_of_unknown_size_is_the_published_range() -> None:
    assert estimate_workload(job()).clock.parts["checkpoints"].seconds == CHECKPOINT_S.range


def test_the_same_question_gets_the_same_answer() -> None:
    assert estimate_workload(job()) == estimate_workload(job())


def test_no_limit_means_one_job_of_p95_and_grace() -> None:
    clock = estimate_workload(job()).clock
    assert clock.segments == 1
    assert GRACE_S == 300
    assert clock.p95 + GRACE_S <= clock.request_s <= clock.p95 + GRACE_S + 900


@pytest.mark.parametrize(("limit", "hours"), [("4h", 4), ("1h", 1)])
def test_beyond_the_limit_it_is_cut_into_jobs_that_hold_its_p95(limit: str, hours: int) -> None:
    clock = estimate_workload(job(), cluster(limit)).clock
    assert clock.segments > 1
    assert clock.request_s == hours * 3600
    assert clock.p95 <= clock.segments * (clock.request_s - GRACE_S)


def test_within_the_limit_it_is_one_job() -> None:
    assert estimate_workload(job(), cluster("2d")).clock.segments == 1


@pytest.mark.parametrize(
    "tables", [{"startup": {"time_s": "20m"}}, {"checkpoint": {"every_steps": 0}}], ids=str
)
def test_a_run_that_gets_nowhere_under_the_limit_never_ends(tables: dict[str, Any]) -> None:
    clock = estimate_workload(job(**tables), cluster("15m")).clock
    assert (clock.total, clock.p95, clock.segments, clock.request_s) == (None, None, None, None)


def test_checkpoints_follow_the_limit_where_the_whole_is_longer_than_training() -> None:
    # Training fits under the limit, the whole does not: without saves on the way the second job would start anew.
    long = job(data={"samples": 7_200_000})
    clock = estimate_workload(long, cluster("2d", node_failures_per_1000_days=0)).clock
    assert clock.parts["training"].seconds.p90 < 2 * 86400 < clock.p95
    assert clock.checkpoint_interval.seconds < 86400
    assert clock.never_ends == 0


MOE = Path(__file__).parent.parent / "examples/moe-llava/phi2-stage3-moe.toml"


def test_a_draw_that_ends_before_the_limit_pays_no_restart() -> None:
    # MoE-LLaVA's third stage (github.com/PKU-YuanGroup/MoE-LLaVA): 18 h at P50, 41 h at P90, 48 h is passed rarely.
    size = {"parameters": 5.3e9, "active_parameters": 3.6e9, "seq_len": 2048, "gpu": "a100-sxm4-80gb"}
    moe = read_workload(MOE, size)
    short, long = (estimate_workload(moe, cluster(limit)).clock for limit in ("48h", "60h"))
    assert short.total.p50 == pytest.approx(long.total.p50, rel=0.02)
    assert short.parts["restarts"].seconds.p50 == 0
    assert short.p95 > 48 * 3600 - GRACE_S


def simulated_s(
    rng: random.Random, training_s: float, startup_s: float, every_s: float, usable_s: float, mtbf_s: float
) -> float:
    """Walk through one run, job by job, until all its work is kept."""
    clock, left, kept, job_end = 0.0, training_s, 0.0, usable_s
    failure = rng.expovariate(1 / mtbf_s)
    while True:
        begin = clock + startup_s
        ends = min(job_end, failure)
        if begin + left <= ends:
            return begin + left
        if begin < ends:
            done = kept + ends - begin
            kept_after = done // every_s * every_s
            left, kept = left - (kept_after - kept), kept_after
        clock = ends
        if ends == failure:
            failure += rng.expovariate(1 / mtbf_s)
        if ends == job_end:
            job_end += usable_s


@pytest.mark.parametrize("limit_h", [12, 24, 36, 48])
def test_restarts_agree_with_a_walk_through_each_run(limit_h: int) -> None:
    """A run of 20 hours, give or take a factor of 1.5, that saves every 15 minutes, and fails every two days."""
    rng, startup_s, hours = random.Random(11), 300.0, 20
    stated = job(
        startup={"time_s": startup_s},
        evaluation={"every_steps": 0},
        checkpoint={"every_steps": 900, "time_s": 0},
        throughput={"step_time": 1, "spread": 0.5},
        data={"samples": 256 * 3600 * hours},
    )
    clock = estimate_workload(stated, cluster(f"{limit_h}h", node_failures_per_1000_days=500)).clock
    runs = []
    for _ in range(20_000):
        factor = math.exp(rng.gauss(0, math.log(1.5) / 1.2816))
        usable_s = limit_h * 3600 - GRACE_S
        runs.append(simulated_s(rng, factor * hours * 3600, startup_s, factor * 900, usable_s, 2 * 86400.0))
    runs.sort()
    for ours, q in (
        (clock.total.p10, 0.1),
        (clock.total.p50, 0.5),
        (clock.total.p90, 0.9),
        (clock.p95, 0.95),
    ):
        assert ours == pytest.approx(quantile(runs, q), rel=0.015)
    assert clock.segments == math.ceil(quantile(runs, 0.95) / (limit_h * 3600 - GRACE_S))


def test_a_longer_limit_never_makes_a_run_longer() -> None:
    stated = job(checkpoint={"every_steps": 100}, data={"samples": 20_000_000})
    whole = [estimate_workload(stated, cluster(f"{h}h")).clock for h in range(4, 200, 7)]
    for before, after in pairwise(whole):
        assert after.total.p50 <= before.total.p50
        assert after.total.p90 <= before.total.p90
        assert after.segments <= before.segments
    assert whole[-1].total == estimate_workload(stated, cluster(None)).clock.total


@settings(max_examples=60 * SCALE, deadline=None)
@given(st.floats(1e-3, 1e6), st.integers(1, 10**12), st.sampled_from([None, "10m", "4h", "30d"]))
def test_percentiles_ascend_and_jobs_fit(rate: float, samples: int, limit: str | None) -> None:
    values: dict[str, Any] = {"data": {"samples": samples}, "throughput": {"samples_per_s": rate}}
    clock = estimate_workload(job(**values), cluster(limit)).clock
    if clock.segments:
        assert clock.total.p10 <= clock.total.p50 <= clock.total.p90 <= clock.p95
        assert clock.segments * clock.request_s >= clock.total.p50
    else:
        assert limit
        assert clock.total is None


def test_young_and_daly() -> None:
    assert young_daly_s(60, 21 * 86400) == pytest.approx(math.sqrt(2 * 60 * 21 * 86400) - 60)
    assert young_daly_s(100, 50) == 50  # interrupted before a save is done: Daly takes the mean time between


@pytest.mark.parametrize("mean", [0.01, 0.5, 4, 25, 200])
def test_poisson_counts_have_their_mean(mean: float) -> None:
    counts = [poisson_quantile(mean, (i + 0.5) / 5000) for i in range(5000)]
    assert sum(counts) / 5000 == pytest.approx(mean, rel=0.02)


def test_a_profiles_failures_are_counted_by_its_nodes() -> None:
    partition = {"name": "gpu", "nodes": 100, "gpus_per_node": 4}
    profile = ClusterProfile.model_validate(
        {"name": "test", "partitions": [partition], "node_failures_per_1000_days": 100}
    )
    long = job(training={"batch_size": 32, "gpus": 32}, data={"samples": 30_000_000})
    text = estimate_workload(long, profile).clock.parts["restarts"].source.text
    assert text.startswith("6.3 failures expected")  # 8 nodes x 0.1 a day x 7.84 days


def test_many_restarts_lose_half_an_interval_each_and_not_all_the_same() -> None:
    # 10 failures, each losing a uniform part of an interval: 5 intervals, give or take sqrt(10 / 12).
    lost = sorted(repeated_intervals(10, u, z) for u, z in zip(uniforms(3), normals(3), strict=True))
    assert quantile(lost, 0.5) == pytest.approx(5, rel=0.01)
    assert quantile(lost, 0.9) == pytest.approx(5 + 1.2816 * math.sqrt(10 / 12), rel=0.01)


def test_a_restart_costs_startup_and_lost_work() -> None:
    stated = {
        "startup": {"time_s": 100},
        "evaluation": {"every_steps": 0},
        "checkpoint": {"every_steps": 1000, "time_s": 0},
        "throughput": {"step_time": 1, "spread": 1e-6},
        "data": {"samples": 256 * 10_000},
    }
    whole = estimate_workload(job(**stated), cluster("2h", node_failures_per_1000_days=0)).clock
    assert whole.segments == 2
    assert whole.total.p50 == pytest.approx(10_000 + 100 + 100 + 500, rel=0.001)


def test_a_limit_hardly_longer_than_a_restart_is_answered_at_once() -> None:
    stated = {
        "startup": {"time_s": 299.04},
        "checkpoint": {"every_steps": 1, "time_s": 0},
        "throughput": {"step_time": 1},
        "data": {"samples": 256_000},
    }
    assert estimate_workload(job(**stated), cluster("10m")).clock.segments != 1


def test_evaluation_and_checkpoints_that_are_stated_are_known_without_a_step_time() -> None:
    stated = job(throughput={}, evaluation={"every_steps": 0}, checkpoint={"every_steps": 1000, "time_s": 30})
    parts = estimate_workload(stated).clock.parts
    assert parts["training"].seconds is None
    assert parts["evaluation"].seconds == Range.exactly(0)
    assert parts["checkpoints"].seconds == Range.exactly(4 * 30)


def test_failures_grow_with_gpus_and_time() -> None:
    few = estimate_workload(job(training={"batch_size": 32, "gpus": 8}))
    many = estimate_workload(
        job(
            training={"batch_size": 32, "gpus": 4096},
            data={"samples": 10**9},
            throughput={"samples_per_s": 400},
        )
    )
    assert few.clock.parts["restarts"].seconds.p90 == 0
    assert many.clock.parts["restarts"].seconds.p50 > 0


def test_where_no_step_is_made_there_is_no_best_interval_to_fail_at() -> None:
    job = Workload.of(
        samples=10, batch_size=32, gpus=8, accumulation=16, framework="deepspeed", step_time=1.0
    )
    assert estimate_workload(job).clock.checkpoint_interval.steps == 1


def test_an_interval_that_no_job_reaches_never_ends_though_it_divides_nothing() -> None:
    job = Workload.model_validate(
        {
            "data": {"samples": 1_000 * 256},
            "training": {"batch_size": 32, "gpus": 8},
            "throughput": {"step_time": 216.0},
            "checkpoint": {"every_steps": 900, "time_s": 10},
            "evaluation": {"every_steps": 0},
        }
    )
    assert estimate_workload(job, load_profile("slurm-a100")).clock.segments is None
