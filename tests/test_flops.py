"""FLOPs of training: attention, recomputation, frozen weights, and what follows from them for time."""

from typing import Any

import pytest

from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.estimator.job.data import Data
from clusterplan.estimator.job.flops import flops_per_sample, forward_share, layers_and_hidden
from clusterplan.estimator.job.workload import Architecture, Workload
from clusterplan.estimator.ranges import Range
from clusterplan.estimator.step_time.source import SourceKind

HOUR_S = 3600


def training_hours(job: Workload) -> Range:
    seconds = estimate_workload(job).clock.parts["training"].seconds
    assert seconds is not None
    return seconds.scaled(1 / HOUR_S)


def job(data: dict[str, Any], training: dict[str, Any], parameters: float, **tables: Any) -> Workload:
    architecture = {"parameters": parameters, **tables.pop("architecture", {})}
    return Workload.model_validate(
        {"data": data, "training": training, "architecture": architecture, **tables}
    )


def flops(seq_len: int, **more: Any) -> float:
    architecture = {"parameters": 7e9, "layers": 32, "hidden": 4096, **more.pop("architecture", {})}
    data, training = {"samples": 1, "seq_len": seq_len}, {"batch_size": 1, "gpus": 1, **more}
    count = flops_per_sample(
        Workload.model_validate({"data": data, "training": training, "architecture": architecture})
    )
    assert count is not None
    return count


def test_a_sample_takes_6_n_and_12_l_h_s_flops_per_token() -> None:
    assert flops(2048) == 2048 * (6 * 7e9 + 12 * 32 * 4096 * 2048)


def test_recomputation_takes_a_third_more() -> None:
    assert flops(2048, recompute=True) == pytest.approx(flops(2048) * 8 / 6)


def test_frozen_weights_need_no_gradients_of_their_own() -> None:
    attention = 12 * 32 * 4096 * 2048
    frozen = {"trainable_parameters": 10**7}
    assert flops(2048, architecture=frozen) == pytest.approx(2048 * (4 * 7e9 + 2 * 1e7 + attention))
    assert flops(2048, architecture=frozen, recompute=True) == pytest.approx(
        2048 * (6 * 7e9 + 2 * 1e7 + attention * 4 / 3)
    )


def test_selective_recomputation_passes_forward_once() -> None:
    training = {"batch_size": 1, "gpus": 1, "recompute": "selective"}
    workload = Workload.model_validate({"data": {"samples": 1}, "training": training})
    assert forward_share(workload) == pytest.approx(1 / 3)


def test_experts_are_trained_in_proportion() -> None:
    all_trained = {"parameters": 47e9, "active_parameters": 13e9, "layers": 32, "hidden": 4096}
    half = {**all_trained, "trainable_parameters": 23.5e9}
    assert flops(1, architecture=half) == pytest.approx(flops(1, architecture=all_trained) - 13e9, rel=1e-3)


# Layers and hidden size as published: Llama 2 7B and 70B (arXiv:2307.09288), MPT-30B (huggingface.co/mosaicml/mpt-30b),
# GPT-3 (arXiv:2005.14165), DeepSeek-V3 (arXiv:2412.19437; 37B of 671B parameters are active).
@pytest.mark.parametrize(
    ("parameters", "layers", "hidden"),
    [(6.74e9, 32, 4096), (69e9, 80, 8192), (30e9, 48, 7168), (175e9, 96, 12288), (37e9, 61, 7168)],
)
def test_attention_of_published_models_is_guessed_within_a_quarter(
    parameters: float, layers: int, hidden: int
) -> None:
    guess = layers_and_hidden(Architecture(parameters=int(parameters)))
    assert guess is not None
    assert guess[0] * guess[1] == pytest.approx(layers * hidden, rel=0.25)


def test_a_stated_size_leaves_the_other_to_the_parameters() -> None:
    assert layers_and_hidden(Architecture(parameters=12 * 10 * 100**2, layers=10)) == (10, 100)
    assert layers_and_hidden(Architecture(parameters=12 * 10 * 100**2, hidden=100)) == (10, 100)


# torchtitan, Llama 3 8B on 64 A100 (github.com/pytorch/torchtitan): 8,192 tokens a step and GPU, 2.82 s.
def test_a_given_rate_in_tflops_counts_attention() -> None:
    step = estimate_workload(
        Workload.of(
            tokens=1e10,
            seq_len=8192,
            batch_size=1,
            gpus=64,
            gpu="a100-sxm4-80gb",
            parameters=8.03e9,
            framework="torch",
            tflops_per_gpu=177.2,
        )
    ).step_time.seconds
    assert step is not None
    assert step.p50 == pytest.approx(2.82, rel=0.05)
    assert step.p10 < 2.82 < step.p90


# llm-foundry, scripts/train/benchmarking, 8 H100 and A100 in bf16: parameters, tokens per sample, model TFLOP/s and tokens/s
# of one GPU.
@pytest.mark.parametrize(
    ("parameters", "seq_len", "tflops", "tokens_per_s"),
    [
        (29_989_894_144, 4096, 354.8, 1802),
        (30_019_254_272, 8192, 296.1, 1384),
        (13_011_240_960, 32768, 313.5, 1976),
        (6_658_859_008, 2048, 459.5, 10643),
        (6_684_024_832, 8192, 367.5, 6935),
        (6_918_905_856, 65536, 282.9, 1956),
        (2_647_905_280, 512, 458.4, 27965),
        (2_814_366_720, 65536, 265.3, 3262),
        (1_445_974_016, 65536, 260.6, 5506),
        (807_656_448, 32768, 315.1, 16291),
        (1_345_310_720, 16384, 348.5, 19649),
        (763_616_256, 4096, 354.6, 55459),
        (12_848_711_680, 1024, 185.6, 2331),
    ],
)
def test_published_rates_in_tflops_are_the_published_tokens_per_second(
    parameters: int, seq_len: int, tflops: float, tokens_per_s: float
) -> None:
    job = Workload.of(
        samples=9999, seq_len=seq_len, batch_size=1, gpus=8, parameters=parameters, tflops_per_gpu=tflops
    )
    step = estimate_workload(job).step_time.seconds
    assert step is not None
    assert seq_len / step.p50 == pytest.approx(tokens_per_s, rel=0.1)
    assert step.p10 < seq_len / tokens_per_s < step.p90


ON_A100 = {"cluster": {"gpu": "a100-sxm4-80gb"}}


# Megatron-Bridge, docs/performance-summary.md (25.11, 64 and 1,024 H100 in fp8): tokens/s and TFLOP/s of one GPU, in which half of
# attention counts, as in Megatron-LM since 2025 (megatron/training/training.py: "causal mask").  NeMo's tables of 2024 count
# all of it (docs/source/performance/performance_summary.md of github.com/NVIDIA/NeMo).
@pytest.mark.parametrize(
    ("parameters", "layers", "hidden", "seq_len", "tflops", "tokens_per_s"),
    [
        (70.6e9, 80, 8192, 8192, 719, 1602),
        (405.9e9, 126, 16_384, 8192, 737, 292),
        (174.6e9, 96, 12_288, 2048, 782, 726),
        (69e9, 80, 8192, 4096, 759, 1707),
        (70.6e9, 80, 8192, 8192, 738, 1533),
    ],
)
def test_reports_count_all_or_half_of_attention(
    parameters: float, layers: int, hidden: int, seq_len: int, tflops: float, tokens_per_s: float
) -> None:
    size = {"layers": layers, "hidden": hidden}
    rate = {"throughput": {"tflops_per_gpu": tflops}}
    data, training = {"samples": 9999, "seq_len": seq_len}, {"batch_size": 1, "gpus": 64}
    step = estimate_workload(job(data, training, parameters, architecture=size, **rate)).step_time.seconds
    assert step is not None
    assert step.p10 < seq_len / tokens_per_s < step.p90


# Seconds of a step with one sample at a time, which starts all layers for few tokens, and dequantises all weights: README of
# github.com/QwenLM/Qwen, A100 of 80 GB, 8 micro-batches, recomputation; 256 to 8,192 tokens.
LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
QWEN: list[tuple[float, float, int | None, tuple[float, ...]]] = [
    (1.84e9, 54e6, None, (1.0, 1.0, 1.1, 1.7, 3.3, 6.8)),
    (1.84e9, 54e6, 4, (1.4, 1.4, 1.4, 2.0, 3.4, 6.5)),
    (7.72e9, 143e6, None, (1.2, 1.5, 2.8, 5.2, 10.1, 21.3)),
    (7.72e9, 143e6, 4, (3.0, 3.0, 3.5, 7.0, 11.6, 22.3)),
    (14.2e9, 223e6, None, (1.6, 2.4, 4.4, 8.4, 17.0, 36.0)),
    (14.2e9, 223e6, 4, (5.3, 6.3, 8.2, 11.8, 20.1, 38.3)),
    (72.3e9, 755e6, 4, (27.4, 31.5, 41.4, 59.5, 97.7, 179.8)),
]


@pytest.mark.parametrize(("parameters", "trained", "bits", "seconds"), QWEN)
def test_short_micro_batches_and_quantised_weights_lie_inside_the_prior(
    parameters: float, trained: float, bits: int | None, seconds: tuple[float, ...]
) -> None:
    architecture = {"trainable_parameters": trained, "base_bits": bits}
    training = {"batch_size": 1, "accumulation": 8, "gpus": 1, "recompute": True}
    for seq_len, measured in zip(LENGTHS, seconds, strict=True):
        data = {"samples": 9999, "seq_len": seq_len}
        step = estimate_workload(
            job(data, training, parameters, architecture=architecture, **ON_A100)
        ).step_time.seconds
        assert step is not None
        assert step.p10 < measured < step.p90


@pytest.mark.parametrize(("parameters", "trained", "bits", "seconds"), QWEN)
def test_the_shortest_and_the_longest_tell_of_all_lengths(
    parameters: float, trained: float, bits: int | None, seconds: tuple[float, ...]
) -> None:
    """FLOPs bound the work of a short micro-batch, so that the rest of it is known to be fixed cost."""
    architecture = {"trainable_parameters": trained, "base_bits": bits}
    training = {"batch_size": 1, "accumulation": 8, "gpus": 1, "recompute": True}
    is_inside = []
    for before, given in ((LENGTHS[0], seconds[0]), (LENGTHS[-1], seconds[-1])):
        for after, measured in zip(LENGTHS, seconds, strict=True):
            rate = {"throughput": {"step_time": given, "seq_len": before}}
            data = {"samples": 9999, "seq_len": after}
            step = estimate_workload(
                job(data, training, parameters, architecture=architecture, **ON_A100, **rate)
            ).step_time.seconds
            assert step is not None
            is_inside.append(step.p10 < measured < step.p90)
    assert sum(is_inside) >= 0.9 * len(is_inside)


# Minutes of 1,000 micro-batches of one sample with LoRA on one A100 of 40 GB: github.com/Lightning-AI/litgpt,
# tutorials/resource-tables.md.  A sample of Alpaca has some 110 tokens.
@pytest.mark.parametrize(
    ("parameters", "trained", "bits", "minutes"),
    [
        (1.42e9, 1.6e6, None, 1.62),
        (3.64e9, 2.1e6, None, 1.24),
        (6.74e9, 4.2e6, None, 2.36),
        (6.74e9, 4.2e6, 4, 3.68),
        (13.0e9, 6.6e6, None, 3.19),
        (13.0e9, 6.6e6, 4, 6.38),
    ],
)
def test_litgpts_micro_batches_lie_inside_the_prior(
    parameters: float, trained: float, bits: int | None, minutes: float
) -> None:
    answer = estimate_workload(
        job(
            {"samples": 9999, "seq_len": 1304, "mean_tokens": 110},
            {"batch_size": 1, "gpus": 1},
            parameters,
            architecture={"trainable_parameters": trained, "base_bits": bits},
            cluster={"gpu": "a100-sxm4-40gb"},
        )
    )
    step = answer.step_time.seconds
    assert step is not None
    assert step.p10 < minutes * 60 / 1000 < step.p90
    assert ("dequantising" in answer.step_time.source.text) == (bits is not None)


# Seconds of 1,024 samples with adapters on two RTX 4090: benchmarks_03_2024.md of github.com/AnswerDotAI/fsdp_qlora; and tokens/s
# of one of 8 A100 for InternLM 7B, 62 % of the peak with recomputation: doc/en/train_performance.md of
# github.com/InternLM/InternLM.
@pytest.mark.parametrize(
    ("parameters", "trained", "bits", "batch_size", "gpu", "tokens_per_s_per_gpu"),
    [
        (6.74e9, 160e6, None, 4, "rtx-4090", 1024 * 2048 / 437 / 2),
        (34.4e9, 480e6, 4, 2, "rtx-4090", 1024 * 2048 / 2072 / 2),
        (6.74e9, 160e6, 4, 10, "rtx-3090", 1024 * 2048 / 936 / 2),
        (7.3e9, 7.3e9, None, 8, "a100-sxm4-80gb", 3314),
    ],
)
def test_recomputing_jobs_reach_more_of_the_peak(
    parameters: float,
    trained: float,
    bits: int | None,
    batch_size: int,
    gpu: str,
    tokens_per_s_per_gpu: float,
) -> None:
    workload = job(
        {"samples": 9999, "seq_len": 2048},
        {"batch_size": batch_size, "gpus": 2, "recompute": True},
        parameters,
        architecture={"trainable_parameters": trained, "base_bits": bits},
        cluster={"gpu": gpu},
    )
    step = estimate_workload(workload).step_time.seconds
    assert step is not None
    assert step.p10 < batch_size * 2048 / tokens_per_s_per_gpu < step.p90


MPT_7B = {"tokens": 1e9, "seq_len": 65536}
ON_8_H100 = {"batch_size": 1, "accumulation": 2, "gpus": 8, "framework": "torch"}


# llm-foundry, scripts/train/benchmarking: MPT-7B at 65,536 tokens on 8 H100, 282.9 TFLOP/s; 1e9 tokens take 17h 45m.
@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, {"throughput": {"tflops_per_gpu": 282.9}}),
        ({"recompute": True}, {}),
        ({}, {"throughput": {"tokens_per_s": 81628, "seq_len": 1024, "batch_size": 64}}),
    ],
    ids=["rate", "prior", "rate of another length"],
)
def test_long_samples_are_inside_the_range(changes: dict[str, Any], more: dict[str, Any]) -> None:
    hours = training_hours(
        job(MPT_7B, {**ON_8_H100, **changes}, 6.919e9, cluster={"gpu": "h100-sxm"}, **more)
    )
    assert hours.p10 < 17.75 < hours.p90


def test_without_parameters_the_cost_of_length_is_wide() -> None:
    values = {
        "data": MPT_7B,
        "training": ON_8_H100,
        "cluster": {"gpu": "h100-sxm"},
        "throughput": {"tokens_per_s": 81628, "seq_len": 1024, "batch_size": 64},
    }
    answer = estimate_workload(Workload.model_validate(values))
    seconds = answer.clock.parts["training"].seconds
    assert seconds is not None
    assert seconds.p10 < 17.75 * HOUR_S < seconds.p90
    assert "as no parameters are stated" in answer.step_time.source.text


# Llama 2 7B at 512,000 tokens over 8 A100-80GB: 90 steps in 14h 39m; its kernels skip the masked half of attention.
def test_the_prior_holds_a_very_long_context() -> None:
    training = {**ON_8_H100, "context_parallel": 8, "recompute": True, "max_steps": 90}
    data = {"tokens": 92_160_000, "seq_len": 512_000}
    hours = training_hours(job(data, training, 6.74e9, cluster={"gpu": "a100-sxm4-80gb"}))
    assert hours.p10 < 14.65 < hours.p90


# haotian-liu/LLaVA, README: LLaVA-1.5-7B pretrains its projector in 3.5 hours on 8 A100-80GB and is finetuned in 10 hours
# on as many; 7.06B parameters with the vision tower, samples of about 640 and 900 tokens with the image's 576.
PRETRAINING = {"samples": 558_128, "seq_len": 2048, "mean_tokens": 640}
FINETUNING = {"samples": 665_298, "seq_len": 2048, "mean_tokens": 900}


@pytest.mark.parametrize(
    ("data", "batch_size", "architecture", "hours"),
    [(PRETRAINING, 32, {"trainable_parameters": 21e6}, 3.5), (FINETUNING, 16, {}, 10)],
    ids=["pretraining", "finetuning"],
)
def test_llava_is_inside_its_prior(
    data: dict[str, int], batch_size: int, architecture: dict[str, Any], hours: float
) -> None:
    training = {"batch_size": batch_size, "gpus": 8, "recompute": True}
    total = estimate_workload(job(data, training, 7.06e9, architecture=architecture, **ON_A100)).clock.total
    assert total is not None
    assert total.p10 < hours * HOUR_S < total.p90
    assert total.p50 / HOUR_S == pytest.approx(hours, rel=0.6)


def test_time_goes_by_the_mean_and_memory_by_the_longest() -> None:
    training = {"batch_size": 16, "gpus": 8, "recompute": True}
    longest, mean = (
        estimate_workload(job({**FINETUNING, "mean_tokens": n}, training, 7.06e9, **ON_A100))
        for n in (None, 900)
    )
    assert longest.memory.peak_bytes == mean.memory.peak_bytes
    assert longest.step_time.seconds is not None
    assert mean.step_time.seconds is not None
    # Attention is quadratic: a little more than 2,048 / 900.
    assert longest.step_time.seconds.p50 / mean.step_time.seconds.p50 == pytest.approx(2.28 * 1.04, rel=0.01)


def test_tokens_are_cut_into_samples_of_the_mean() -> None:
    data = {"tokens": 9_001, "seq_len": 2048, "mean_tokens": 900}
    answer = estimate_workload(job(data, {"batch_size": 1, "gpus": 1}, 1e9))
    assert answer.steps.total == 11


def test_tokens_per_second_are_those_of_the_mean() -> None:
    training = {"batch_size": 16, "gpus": 8}
    rate = {"throughput": {"tokens_per_s": 9000}}
    answer = estimate_workload(job(FINETUNING, training, 7.06e9, **rate))
    assert answer.samples_per_s is not None
    assert answer.samples_per_s.p50 == pytest.approx(10)
    assert answer.step_time.source.kind is SourceKind.GIVEN


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"samples": 9, "seq_len": 10, "mean_tokens": 11}, "mean_tokens 11 are more than seq_len 10"),
        (
            {"tokens": 9, "seq_len": 10, "mean_tokens": 9, "packing": 0.9},
            "packing and mean_tokens are both given: packed samples have seq_len tokens each",
        ),
        ({"tokens": 9}, "tokens need seq_len or mean_tokens"),
    ],
)
def test_lengths_that_contradict_each_other_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Data.model_validate(data)


@pytest.mark.parametrize(
    ("data", "more"),
    [
        (FINETUNING, {}),
        ({"tokens": 1e9, "seq_len": 2048}, {}),
        ({**FINETUNING, "mean_tokens": None}, {"throughput": {"samples_per_s": 10}}),
    ],
    ids=["mean", "tokens", "rate"],
)
def test_a_mean_is_asked_for_only_where_it_matters(data: dict[str, Any], more: dict[str, Any]) -> None:
    answer = estimate_workload(job(data, {"batch_size": 16, "gpus": 8}, 7e9, **ON_A100, **more))
    assert "mean-tokens" not in {advice.code for advice in answer.warnings}


def test_attention_is_named_where_it_is_a_clear_share() -> None:
    short, long = (
        estimate_workload(
            job({"samples": 9, "seq_len": n}, ON_8_H100, 7e9, cluster={"gpu": "h100-sxm"})
        ).step_time.source.text
        for n in (1024, 16384)
    )
    assert "attention" not in short
    assert "attention 39% of all FLOPs (33 layers of 4,211, guessed from the parameters)" in long


def test_layers_and_hidden_that_are_swapped_are_refused() -> None:
    with pytest.raises(ValueError, match="layers 4096 are more than hidden 32: swap them"):
        Architecture(parameters=7 * 10**9, layers=4096, hidden=32)
