"""Step times: what was given, measured, carried over, assumed, or not known."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clusterplan.cluster_profiles.catalog import load_profile
from clusterplan.cluster_profiles.precision import Precision
from clusterplan.cluster_profiles.profile import ClusterProfile, Partition
from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.estimator.estimate.shapes import Keep, vary_shapes
from clusterplan.estimator.estimate.walltime import Part
from clusterplan.estimator.job.flops import fastest_step_s
from clusterplan.estimator.job.given import Evaluation
from clusterplan.estimator.job.placement import place
from clusterplan.estimator.job.workload import Architecture, Workload
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.priors import LAYER_S
from clusterplan.estimator.step_time.source import SourceKind

SEED = {"samples": 1_000_000, "batch_size": 32, "gpus": 8}
DAY_S = 86400
NOW = datetime(2026, 11, 25, tzinfo=UTC)


def training(job: Workload, *rest: Any) -> Part:
    return estimate_workload(job, *rest).clock.parts["training"]


@pytest.mark.parametrize(
    "rate",
    [
        {"samples_per_s": 44.3},
        {"samples_per_s_per_gpu": 44.3 / 8},
        {"tokens_per_s": 44.3 * 512, "seq_len": 512},
        {"step_time": 256 / 44.3},
        {"step_time": f"{256e3 / 44.3:.6f} ms"},
    ],
    ids=lambda rate: next(iter(rate)),
)
def test_every_rate_says_the_same_throughput(rate: dict[str, Any]) -> None:
    answer = estimate_workload(Workload.of(**SEED, **rate))
    assert answer.samples_per_s.p50 == pytest.approx(44.3)
    assert answer.step_time.source.kind is SourceKind.GIVEN


def test_a_given_spread_is_the_range() -> None:
    values = {"data": {"samples": 100}, "training": {"batch_size": 1, "gpus": 1}}
    job = Workload.model_validate({**values, "throughput": {"step_time": 2, "spread": 0.2}})
    step = estimate_workload(job).step_time.seconds
    assert (step.p10, step.p50, step.p90) == pytest.approx((2 / 1.2, 2, 2.4))


# Narayanan et al. 2021, arXiv:2104.04473: 8 T P / (n X) seconds are 33.9 and 83.2 days; their exact count has the factor
# 1 + s / (6 h) for attention, and table 1 the layers and hidden sizes.
@pytest.mark.parametrize(
    ("parameters", "layers", "hidden", "tokens", "gpus", "tflops", "days"),
    [(175e9, 96, 12288, 300e9, 1024, 140, 33.9), (1e12, 128, 25600, 450e9, 3072, 163, 83.2)],
)
def test_megatrons_published_days(
    parameters: float, layers: int, hidden: int, tokens: float, gpus: int, tflops: int, days: float
) -> None:
    job = Workload.of(
        tokens=tokens,
        seq_len=2048,
        parameters=parameters,
        gpus=gpus,
        batch_size=1,
        framework="megatron",
        tflops_per_gpu=tflops,
        recompute=True,
    )
    architecture = Architecture(parameters=int(parameters), layers=layers, hidden=hidden)
    job = job.model_copy(update={"architecture": architecture})
    with_attention = days * (1 + 2048 / (6 * hidden))
    assert training(job).seconds.p50 / DAY_S == pytest.approx(with_attention, abs=0.06)


# NVIDIA NeMo 24.07 performance summary: tokens/s per GPU on 1,024 GPUs, days for 10T tokens.
@pytest.mark.parametrize(
    ("tokens_per_s_per_gpu", "days"),
    [(16934, 6.7), (716, 157.9), (825, 137.0), (8715, 13.0), (1728, 65.4), (12273, 9.2), (1524, 74.2)],
)
def test_nemos_published_days(tokens_per_s_per_gpu: int, days: float) -> None:
    rate = tokens_per_s_per_gpu * 1024
    job = Workload.of(
        tokens=10e12, seq_len=4096, gpus=1024, batch_size=1, framework="megatron", tokens_per_s=rate
    )
    assert training(job).seconds.p50 / DAY_S == pytest.approx(days, abs=0.06)


def measured(**changes: Any) -> Measurement:
    values = {
        "model": "phi2",
        "gpu": "a100-sxm4-80gb",
        "nodes": 1,
        "gpus": 8,
        "gpus_per_node": 8,
        "batch_size": 32,
        "accumulation": 1,
        "precision": Precision.BF16,
        "seq_len": None,
        "step_time_s": 5.0,
    }
    return Measurement(**{**values, **changes})


def test_a_measurement_of_this_configuration_is_used() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    runs = [measured(), measured(step_time_s=5.2), measured(step_time_s=4.9)]
    answer = estimate_workload(job, load_profile("slurm-a100"), runs)
    assert answer.step_time.source.kind is SourceKind.MEASURED
    assert answer.step_time.source.runs == 3
    assert answer.step_time.seconds.p50 == 5.0


@pytest.mark.parametrize(
    "change",
    [
        {"gpu": "v100-sxm2-32gb", "precision": Precision.FP16},
        {"gpus": 4, "gpus_per_node": 4},
        {"nodes": 2, "gpus_per_node": 4},
        {"batch_size": 16},
        {"accumulation": 2},
        {"precision": Precision.FP16},
        {"precision": Precision.FP32},
    ],
    ids=str,
)
def test_a_measurement_of_another_configuration_informs_with_a_wider_range(change: dict[str, Any]) -> None:
    job = Workload.of(**SEED, model="phi2")
    step_time = estimate_workload(job, load_profile("slurm-a100"), [measured(**change)]).step_time
    assert step_time.source.kind is SourceKind.TRANSFERRED
    assert step_time.seconds.p90 / step_time.seconds.p10 > 1.04


@pytest.mark.parametrize(
    ("run", "job", "kind"),
    [
        (3, 3, SourceKind.MEASURED),
        (None, 3, SourceKind.MEASURED),  # as the job, where a run does not say
        (3, None, SourceKind.MEASURED),
        (1, 3, SourceKind.TRANSFERRED),
    ],
)
def test_only_a_run_of_the_same_zero_stage_repeats_a_job(
    run: int | None, job: int | None, kind: SourceKind
) -> None:
    training = {"batch_size": 32, "gpus": 8, "zero_stage": job}
    workload = Workload.model_validate({"model": "phi2", "data": {"samples": 1e6}, "training": training})
    step_time = estimate_workload(workload, load_profile("slurm-a100"), [measured(zero_stage=run)]).step_time
    assert step_time.source.kind is kind


@pytest.mark.parametrize(
    ("split", "kind"),
    [
        ({}, SourceKind.MEASURED),
        ({"tensor_parallel": 4}, SourceKind.MEASURED),
        ({"tensor_parallel": 8, "pipeline_parallel": 1}, SourceKind.TRANSFERRED),
    ],
)
def test_only_a_run_of_the_same_layout_repeats_a_job(split: dict[str, Any], kind: SourceKind) -> None:
    job = Workload.of(**SEED, model="phi2", tensor_parallel=4, pipeline_parallel=2)
    run = measured(model_parallel=8, **split)
    step_time = estimate_workload(job, load_profile("slurm-a100"), [run]).step_time
    assert step_time.source.kind is kind


def test_a_measurement_of_another_model_is_not_used_alone() -> None:
    job = Workload.of(**SEED, model="phi2")
    answer = estimate_workload(job, load_profile("slurm-a100"), [measured(model="qwen")])
    assert answer.step_time.source.kind is SourceKind.UNKNOWN


def test_a_run_of_another_split_is_carried_over() -> None:
    job = Workload.of(**SEED, model="phi2")
    step = estimate_workload(job, load_profile("slurm-a100"), [measured(model_parallel=2)]).step_time
    assert step.source.kind is SourceKind.TRANSFERRED
    assert "1 GPU per replica is beyond what was measured" in step.source.text


def test_the_source_says_which_runs_how_old_and_what_is_beyond_them() -> None:
    runs = [measured(gpus=n, gpus_per_node=n, when=NOW - timedelta(days=4 - n // 2)) for n in (1, 2)]
    job = Workload.of(**SEED | {"gpus": 16}, model="phi2")
    answer = estimate_workload(job, load_profile("slurm-a100"), runs, NOW)
    assert answer.step_time.source.text == (
        "from 2 runs of phi2 on 1-2 a100-sxm4-80gb, the last 3 days ago; 16 GPUs, 2 nodes are beyond what was measured; "
        "no run was on several nodes: their network is a prior"
    )


def test_a_run_on_slower_gpus_is_carried_over_by_their_bandwidth() -> None:
    job = Workload.of(**SEED, model="phi2", gpu="h100-sxm")
    answer = estimate_workload(job, None, [measured()])
    assert answer.step_time.seconds.p50 == pytest.approx(5 * 2039 / 3350 * 1.3, rel=0.05)
    assert "h100-sxm is x0.7 to x2.8" in answer.step_time.source.text


def test_the_same_chip_gains_no_more_than_its_memory() -> None:
    job = Workload.of(**SEED, model="phi2", gpu="a100-sxm4-80gb")
    answer = estimate_workload(job, None, [measured(gpu="a100-sxm4-40gb")])
    assert 5 * 1555 / 2039 < answer.step_time.seconds.p50 < 5
    assert answer.step_time.seconds.p90 < 1.7 * answer.step_time.seconds.p10
    assert "the same peak, other memory" in answer.step_time.source.text


def test_an_outdated_run_gives_way_to_a_newer_one_of_its_configuration() -> None:
    runs = [measured(when=NOW), measured(step_time_s=9, when=NOW - timedelta(days=200))]
    answer = estimate_workload(Workload.of(**SEED, model="phi2"), load_profile("slurm-a100"), runs, NOW)
    assert (answer.step_time.seconds.p50, answer.step_time.source.runs) == (5, 1)


def test_an_old_run_counts_where_there_is_no_newer_one() -> None:
    old = measured(when=NOW - timedelta(days=2000))
    answer = estimate_workload(Workload.of(**SEED, model="phi2"), load_profile("slurm-a100"), [old], NOW)
    assert "the last 2,000 days ago" in answer.step_time.source.text


def test_a_run_of_another_sequence_length_goes_by_its_work() -> None:
    job = Workload.of(**SEED, model="phi2", seq_len=4096)
    answer = estimate_workload(job, load_profile("slurm-a100"), [measured(seq_len=2048)])
    attention = (1 + 4096 / (6 * 4096)) / (1 + 2048 / (6 * 4096))
    assert answer.step_time.seconds.p50 == pytest.approx(10 * attention, rel=0.05)
    assert "4,096 tokens per sample are beyond what was measured" in answer.step_time.source.text


def test_milliseconds_among_seconds_are_said_and_not_used() -> None:
    runs = [measured(), measured(batch_size=16, step_time_s=2.7), measured(batch_size=8, step_time_s=1400)]
    answer = estimate_workload(Workload.of(**SEED, model="phi2"), load_profile("slurm-a100"), runs)
    assert answer.step_time.seconds.p50 == 5
    assert any("is its unit seconds?" in a.text for a in answer.warnings if a.code == "suspect-measurement")


def test_a_gpu_type_that_is_not_stated_is_the_one_that_was_measured() -> None:
    answer = estimate_workload(Workload.of(**SEED, model="phi2"), None, [measured()])
    assert answer.step_time.source.kind is SourceKind.MEASURED


def test_runs_without_gpus_inform_jobs_without_gpus() -> None:
    runs = [measured(gpu=None, precision=Precision.AUTO, gpus=n, gpus_per_node=n) for n in (1, 2)]
    answer = estimate_workload(Workload.of(**SEED | {"gpus": 4}, model="phi2"), None, runs)
    assert answer.step_time.source.text.startswith("from 2 runs of phi2 on 1-2 GPUs;")


def test_the_parts_of_a_learned_step_make_the_whole() -> None:
    runs = [measured(gpus=n, gpus_per_node=n, step_time_s=4 + n / 8, data_wait_share=0.1) for n in (1, 2, 4)]
    step_time = estimate_workload(
        Workload.of(**SEED, model="phi2"), load_profile("slurm-a100"), runs
    ).step_time
    parts = step_time.parts
    whole = parts.compute_s + parts.network_s + parts.input_s
    assert whole == pytest.approx(step_time.seconds.p50)
    assert parts.input_s > 0


def test_a_run_faster_than_the_links_allow_shows_that_not_all_is_exchanged() -> None:
    # LoRA: of 70B parameters few are trained.
    job = Workload.of(**SEED | {"gpus": 16}, model="phi2", parameters=70e9)
    runs = [measured(nodes=2, gpus=16, batch_size=b, step_time_s=0.01 * b) for b in (8, 16)]
    assert estimate_workload(job, load_profile("slurm-a100"), runs).step_time.seconds.p50 < 1


def test_times_of_runs_replace_the_priors_of_the_wall_clock() -> None:
    job = Workload.of(**SEED, model="phi2").model_copy(update={"evaluation": Evaluation(every_steps=1000)})
    runs = [measured(startup_s=s, evaluation_s=20.0, checkpoint_s=4.0) for s in (30.0, 40.0, 90.0)]
    parts = estimate_workload(job, load_profile("slurm-a100"), runs).clock.parts
    assert {parts[name].source.kind for name in ("startup", "evaluation", "checkpoints")} == {
        SourceKind.MEASURED
    }
    assert parts["startup"].seconds.p50 == 40
    assert parts["evaluation"].seconds.p50 == pytest.approx(60, rel=0.01)


def test_what_was_given_wins_over_measurements() -> None:
    job = Workload.of(**SEED, model="phi2", samples_per_s=44.3)
    assert (
        estimate_workload(job, load_profile("slurm-a100"), [measured()]).step_time.source.kind
        is SourceKind.GIVEN
    )


def test_parameters_and_a_gpu_make_a_wide_prior() -> None:
    job = Workload.of(**SEED, seq_len=2048, parameters=7e9, gpu="a100-sxm4-80gb")
    answer = estimate_workload(job)
    assert answer.step_time.source.kind is SourceKind.PRIOR
    layers = (7e9 / (12 * 128**2)) ** (1 / 3)
    weights, attention = 6 * 7e9, 12 * layers * 128 * layers * 2048
    peak = 8 * 312e12 / (2048 * 256)
    # A kernel that skips the masked half of attention may do the least; MFU counts both halves.  Layers have to be started.
    beside = LAYER_S.scaled(layers)
    assert answer.step_time.seconds.p10 == pytest.approx((weights + attention / 2) / peak / 0.60 + beside.p10)
    assert answer.step_time.seconds.p50 == pytest.approx((weights + attention) / peak / 0.35 + beside.p50)
    assert answer.step_time.seconds.p90 == pytest.approx((weights + attention) / peak / 0.15 + beside.p90)


def test_experts_count_by_their_active_parameters() -> None:
    whole = Workload.of(**SEED, seq_len=2048, parameters=5e9, active_parameters=3e9, gpu="a100-sxm4-80gb")
    assert "active parameter" in estimate_workload(whole).step_time.source.text
    assert whole.architecture.flops_parameters == 3_000_000_000


def test_nothing_known_is_unknown_and_steps_are_exact() -> None:
    answer = estimate_workload(Workload.of(**SEED))
    assert answer.steps.total == 3907
    assert (answer.step_time.seconds, answer.clock.total, answer.gpu_hours) == (None, None, None)
    assert answer.step_time.source.kind is SourceKind.UNKNOWN


def test_more_gpus_keep_less_than_perfect_scaling() -> None:
    job = Workload.of(samples=1_000_000, batch_size=32, gpus=1, samples_per_s=10)
    one, eight = (estimate_workload(w).samples_per_s for w in vary_shapes(job, [1, 8], ["auto"]))
    assert one.p50 == pytest.approx(10)
    assert 80 * 0.9 < eight.p50 < 80
    assert eight.p10 < 80 * 0.72  # the least that is published for 8 GPUs of a node: 71 %
    assert eight.p90 > 80


def test_a_shape_keeps_the_speed_it_was_given_in_whatever_the_order() -> None:
    job = Workload.of(samples=1_000_000, batch_size=32, gpus=8, samples_per_s=80)
    one, eight = (estimate_workload(w).samples_per_s.p50 for w in vary_shapes(job, [1, 8], ["auto"]))
    assert eight == pytest.approx(80)
    assert 10 < one < 11


def test_half_the_micro_batch_is_slower_per_sample() -> None:
    job = Workload.of(samples=1_000_000, batch_size=32, gpus=8, samples_per_s=80)
    (wide,) = vary_shapes(job, [16], ["auto"], Keep.GLOBAL_BATCH)
    assert wide.training.batch_size == 16
    assert 80 < estimate_workload(wide).samples_per_s.p50 < 0.95 * 160


def test_bf16_is_1_4_to_4_1_times_fp32() -> None:
    job = Workload.of(**SEED, precision="fp32", samples_per_s=10, gpu="v100-sxm2-32gb")
    _, half = (estimate_workload(w).samples_per_s for w in vary_shapes(job, [8], ["fp32", "fp16"]))
    assert half.p50 == pytest.approx(28.4, rel=0.05)
    assert 10 < half.p10 < 14.2 * 1.15
    assert half.p90 > 40.6


@pytest.mark.parametrize(("gpu", "precision"), [("v100-sxm2-32gb", "bf16"), ("a100-sxm4-80gb", "fp8")])
def test_a_precision_the_gpu_lacks_is_not_guessed(gpu: str, precision: str) -> None:
    job = Workload.of(**SEED, precision="fp32", samples_per_s=10, gpu=gpu)
    (other,) = vary_shapes(job, [8], [precision])
    assert estimate_workload(other).step_time.source.kind is SourceKind.UNKNOWN


def test_nothing_carried_over_is_faster_than_the_gpus_peak() -> None:
    # 34.9 of an A10G's 35 fp32 TFLOP/s, and 5 % more, times the ratio of its peaks, 2, would be beyond its 70 in bf16.
    job = Workload.of(
        samples=1000,
        batch_size=1,
        gpus=8,
        seq_len=2048,
        parameters=7e9,
        gpu="a10g",
        precision="fp32",
        tflops_per_gpu=34.9,
    )
    (other,) = vary_shapes(job, [8], ["bf16"])
    floor_s = fastest_step_s(other, place(other, None))
    assert 6 * 7e9 * 2048 / 70e12 < floor_s == estimate_workload(other).step_time.seconds.p10


def test_a_precision_gains_no_more_than_the_gpus_peaks_do() -> None:
    job = Workload.of(**SEED, precision="fp32", samples_per_s=10, gpu="rtx-3090")
    one, other = (estimate_workload(w).samples_per_s.p50 for w in vary_shapes(job, [8], ["fp32", "tf32"]))
    assert other == pytest.approx(one, rel=0.02)  # both peaks are 35.6


def test_a_rate_of_another_gpu_type_is_not_carried_over() -> None:
    job = Workload.model_validate(
        {
            "data": {"samples": 100},
            "training": {"batch_size": 1, "gpus": 1},
            "throughput": {"step_time": 1, "gpu": "a100-sxm4-80gb"},
            "cluster": {"gpu": "h100-sxm"},
        }
    )
    assert estimate_workload(job).step_time.source.kind is SourceKind.UNKNOWN


def test_a_rate_in_auto_is_in_what_all_gpus_of_that_name_train_in() -> None:
    a100 = Partition(name="long", nodes=4, gpus_per_node=8, gres="a100", time_limit="2d")
    cluster = ClusterProfile(name="fresh", partitions=(a100,))
    job = Workload.of(**SEED, samples_per_s=44.3, profile="fresh")
    (tied,) = vary_shapes(job, [8], ["auto"])
    assert (
        estimate_workload(tied, cluster).step_time.source.text
        == "44.3 samples/s on 8 GPUs in bf16, ±5% assumed"
    )


@pytest.mark.parametrize("rate", [{"samples_per_s": 8}, {"tokens_per_s": 4096}])
def test_a_rate_at_another_sequence_length_goes_by_flops(rate: dict[str, float]) -> None:
    job = Workload.model_validate(
        {
            "data": {"samples": 100, "seq_len": 4096},
            "training": {"batch_size": 1, "gpus": 1},
            "architecture": {"parameters": 7e9, "layers": 32, "hidden": 4096},
            "throughput": {**rate, "seq_len": 512, "batch_size": 8},
        }
    )
    work = (
        8 * (1 + 4096 / (6 * 4096 * 7 / 6.44)) / (1 + 512 / (6 * 4096 * 7 / 6.44))
    )  # 7 / 6.44 = P / (12 L h^2)
    assert estimate_workload(job).samples_per_s.p50 == pytest.approx(8 / work, rel=0.05)


def test_a_micro_batch_of_fewer_but_longer_samples_is_not_small() -> None:
    job = Workload.model_validate(
        {
            "data": {"samples": 100, "seq_len": 4096},
            "training": {"batch_size": 1, "gpus": 1},
            "throughput": {"samples_per_s": 8, "seq_len": 512, "batch_size": 8},
        }
    )
    assert not any("micro-batch" in text for text in estimate_workload(job).step_time.source.assumed)


def test_a_step_time_counts_the_samples_of_its_own_shape() -> None:
    values = {"data": {"samples": 10_000}, "training": {"batch_size": 4, "gpus": 8, "accumulation": 4}}
    rate = {"step_time": 2, "batch_size": 4, "gpus": 8, "accumulation": 1}
    assert estimate_workload(
        Workload.model_validate({**values, "throughput": rate})
    ).samples_per_s.p50 == pytest.approx(16, rel=0.05)


def test_one_run_is_known_as_well_as_repeats_of_published_ones_agree() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    step = estimate_workload(job, load_profile("slurm-a100"), [measured(step_time_s=4.0)]).step_time.seconds
    assert step.p50 == 4
    assert (step.p50 / step.p10, step.p90 / step.p50) == pytest.approx((1.055, 1.055), abs=0.001)


def test_a_run_is_known_as_well_as_other_shapes_repeat_on_its_site() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")

    def width(*others: float) -> float:
        repeats = [measured(batch_size=16, step_time_s=t) for t in others]
        runs = [measured(step_time_s=4.0), *repeats]
        step = estimate_workload(job, load_profile("slurm-a100"), runs).step_time.seconds
        return step.p90 / step.p50 - 1

    assert width(2.0, 2.004, 1.998) < 0.02
    assert 0.05 < width(2.0) < width(2.0, 2.2, 1.9)


def test_a_probe_answers_for_its_shape_until_a_whole_run_does() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    probe, whole = measured(step_time_s=4.0, is_probe=True), measured(step_time_s=4.2)
    for runs, step_s, is_calibrated in (([probe], 4.0, True), ([probe, whole], 4.2, False)):
        step = estimate_workload(job, load_profile("slurm-a100"), runs).step_time
        assert (step.seconds.p50, step.source.calibrated) == (step_s, is_calibrated)


def test_another_run_may_differ_by_more_than_the_few_there_are() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    runs = [measured(step_time_s=4.0), measured(step_time_s=5.0), measured(step_time_s=6.0)]
    step = estimate_workload(job, load_profile("slurm-a100"), runs).step_time.seconds
    assert (step.p10 < 4.1, step.p50, step.p90 > 6) == (True, 5, True)


def test_runs_that_agree_narrow_the_range() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    widths = []
    for n in (1, 2, 4):
        step = estimate_workload(
            job, load_profile("slurm-a100"), [measured(step_time_s=4.0)] * n
        ).step_time.seconds
        widths.append(step.p90 / step.p10)
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("wrong_s", [500.0, 0.005])
def test_a_run_in_another_unit_does_not_answer_for_its_own_shape(wrong_s: float) -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    runs = [measured(gpus=n, step_time_s=0.5) for n in (1, 2, 4)] + [measured(step_time_s=wrong_s)]
    step_time = estimate_workload(job, load_profile("slurm-a100"), runs).step_time
    assert step_time.source.kind is SourceKind.TRANSFERRED
    assert step_time.seconds.p10 < 0.54 < step_time.seconds.p90
    assert "8 GPUs with a micro-batch of 32" in step_time.suspects[0]


def test_where_no_run_can_be_right_that_is_why_the_time_is_unknown() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    source = estimate_workload(job, load_profile("slurm-a100"), [measured(step_time_s=1e-9)]).step_time.source
    assert source.kind is SourceKind.UNKNOWN
    assert "no run of phi2 can be right: 8 GPUs with a micro-batch of 32 at 1e-09 s per step" in source.text


def test_of_two_runs_a_thousand_times_apart_the_shorter_is_right() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    runs = [measured(step_time_s=500.0), measured(step_time_s=0.5)]
    assert estimate_workload(job, load_profile("slurm-a100"), runs).step_time.seconds.p50 == 0.5


def test_a_lone_run_that_the_others_contradict_widens_its_own_range_and_a_second_settles_it() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    others = [measured(gpus=n, batch_size=b, step_time_s=b / 64) for n in (1, 2, 4) for b in (16, 32)]
    slow = measured(step_time_s=2.0)
    (alone, twice) = (
        estimate_workload(job, load_profile("slurm-a100"), [*others, *[slow] * n]).step_time.seconds
        for n in (1, 2)
    )
    assert alone.p10 < 0.6 < alone.p50 == 2.0
    assert twice.p10 > 1.8


def test_measurements_of_two_gpu_types_are_not_pooled() -> None:
    job = Workload.of(**SEED, model="phi2", precision="bf16")
    runs = [measured(), measured(gpu="h100-sxm", step_time_s=2.0)]
    assert estimate_workload(job, None, runs).step_time.source.kind is SourceKind.UNKNOWN
    assert estimate_workload(job, None, runs[:1]).step_time.source.kind is SourceKind.MEASURED


def test_a_mixture_of_experts_has_a_lower_prior_mfu() -> None:
    dense = Workload.of(**SEED, seq_len=2048, parameters=3e9, gpu="a100-sxm4-80gb")
    sparse = Workload.of(**SEED, seq_len=2048, parameters=9e9, active_parameters=3e9, gpu="a100-sxm4-80gb")
    ratio = estimate_workload(sparse).step_time.seconds.p50 / estimate_workload(dense).step_time.seconds.p50
    assert ratio == pytest.approx(0.35 / 0.18, rel=0.01)


def test_one_slow_repeat_makes_no_run_faster_than_any_was() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    runs = [*[measured(step_time_s=1.0)] * 20, measured(step_time_s=3.0)]
    step = estimate_workload(job, load_profile("slurm-a100"), runs).step_time.seconds
    assert (step.p10, step.p90) == pytest.approx((1, 1), abs=0.02)


def test_runs_of_several_lengths_are_no_answer_to_a_job_that_states_none() -> None:
    job = Workload.of(**SEED, model="phi2", profile="slurm-a100")
    runs = [measured(step_time_s=1.0, seq_len=2048), measured(step_time_s=4.0, seq_len=8192)]
    step_time = estimate_workload(job, load_profile("slurm-a100"), runs).step_time
    assert step_time.seconds is None
    assert "measured with samples of 2,048, 8,192 tokens; state the length" in step_time.source.text


def test_runs_that_say_nothing_of_a_gpu_are_said_to_be_there() -> None:
    answer = estimate_workload(
        Workload.of(**SEED, model="phi2", gpu="h100-sxm"), None, [measured(gpu=None)] * 2
    )
    assert answer.step_time.source.text.startswith(
        "measured in 2 runs of phi2, on GPUs of unknown type in bf16; that does not tell the speed of h100-sxm in bf16"
    )
