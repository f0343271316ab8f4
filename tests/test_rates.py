"""Rates as trainers print them, and rates that already hold evaluation and saves."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from clusterplan.estimator.estimate.estimate import Estimate, estimate_workload
from clusterplan.estimator.job.workload import Workload
from clusterplan.estimator.step_time.source import SourceKind

# TinyLlama 1.1B on 16 A100-40GB (github.com/jzhang38/TinyLlama): 24,000 tokens/s per GPU, 56 % MFU, 90 days for 3T tokens.
TINY_LLAMA = {
    "tokens": 1e12,
    "epochs": 3,
    "seq_len": 2048,
    "gpus": 16,
    "batch_size": 8,
    "accumulation": 8,
    "framework": "floor",
}


def training_days(answer: Estimate) -> float:
    seconds = answer.clock.parts["training"].seconds
    assert seconds is not None
    return seconds.p50 / 86400


def test_tokens_per_second_and_gpu() -> None:
    answer = estimate_workload(Workload.of(**TINY_LLAMA, tokens_per_s_per_gpu=24000))
    assert training_days(answer) == pytest.approx(90 + 10 / 24, abs=0.03)
    assert answer.step_time.source.text == "24,000 tokens/s per GPU on 16 GPUs, ±5% assumed"


@pytest.mark.parametrize("mfu", [0.56, "0.56", "56%", "56 %"])
def test_mfu_counts_the_flops_of_the_model(mfu: float | str) -> None:
    job = Workload.of(**TINY_LLAMA, mfu=mfu, parameters=1.1e9, gpu="a100-sxm4-40gb")
    assert training_days(estimate_workload(job)) == pytest.approx(90.4, rel=0.05)


def test_recomputation_is_no_part_of_an_mfu() -> None:
    jobs = (
        Workload.of(**TINY_LLAMA, mfu=0.5, parameters=1.1e9, gpu="a100-sxm4-40gb", recompute=recompute)
        for recompute in (False, True)
    )
    one, other = (training_days(estimate_workload(job)) for job in jobs)
    assert one == other


@pytest.mark.parametrize(
    ("gpu", "remedy"),
    [
        (None, ": add --gpu"),
        # two TITAN Xp: https://github.com/karpathy/nanoGPT/issues/466
        ("titan-xp", ", and that of titan-xp is not known: give tflops_per_gpu or step_time"),
    ],
)
def test_an_mfu_needs_the_peak_of_the_gpu(gpu: str | None, remedy: str) -> None:
    job = Workload.of(**TINY_LLAMA, mfu=0.5, parameters=1e9, gpu=gpu)
    source = estimate_workload(job).step_time.source
    assert (source.kind, source.text) == (SourceKind.UNKNOWN, f"mfu is a share of a GPU's peak{remedy}")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3.7s/it", 3.7),
        ("3.70 s/it", 3.7),
        ("3.7s/step", 3.7),
        ("3.7 sec/iter", 3.7),
        ("300ms/step", 0.3),
        ("300ms", 0.3),
        ("1m 20s/it", 80),
        ("0.25it/s", 4),
        ("0.25 it/s", 4),
        ("0.25 steps/s", 4),
        ("4 iterations/sec", 0.25),
    ],
)
def test_a_step_time_is_read_as_progress_bars_print_it(text: str, seconds: float) -> None:
    answer = estimate_workload(Workload.of(samples=1000, batch_size=1, gpus=1, step_time=text))
    assert answer.step_time.seconds is not None
    assert answer.step_time.seconds.p50 == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["1.5s/it", "1.5 s/micro-batch", "0.5 micro-batches/s", 1.5])
def test_a_step_takes_as_many_micro_batches_as_are_accumulated(text: str | float) -> None:
    job = Workload.of(samples=1000, batch_size=1, gpus=1, accumulation=4, micro_batch_time=text)
    step = estimate_workload(job).step_time.seconds
    assert step is not None
    assert step.p50 == pytest.approx(8 if "/s" in str(text) else 6)


BAD = {
    "per micro-batch": (
        ["--step-time", "1.2s/micro-batch"],
        "--step-time: '1.2s/micro-batch' is the time of a micro-batch: give it as micro_batch_time",
    ),
    "no number": (["--step-time", "fast/it"], "--step-time: 'fast/it' is not a duration such as 0.3,"),
    "never": (["--step-time", "0it/s"], "--step-time: '0it/s' is not a duration such as 0.3,"),
    "percent": (["--mfu", "56"], "--mfu: '56' is more than 1: give a share such as 0.56, or \"56%\""),
    "beyond": (["--mfu", "560%"], "--mfu: '560%' must be at most 1"),
    "mfu alone": (["--mfu", "0.5"], "mfu needs parameters and seq_len"),
    "tokens alone": (["--tokens-per-s-per-gpu", "5"], "tokens_per_s_per_gpu needs seq_len"),
    "two": (["--mfu", "0.5", "--step-time", "1s/it"], "step_time and mfu are both given"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_rate_is_one_line(in_process: Command, case: str) -> None:
    flags, message = BAD[case]
    done = in_process("estimate", "--samples", "1000", "--batch-size", "1", "--gpus", "1", *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


# A whisper fine-tune (5,000 steps of 50 samples) that reports train_samples_per_second 3.232 over the whole run, in which
# an evaluation every 1,000 steps took 1,717 s: 21h 29m.
WHISPER: dict[str, Any] = {
    "data": {"samples": 250_000},
    "training": {"batch_size": 50, "gpus": 1},
    "throughput": {"samples_per_s": 3.232},
    "evaluation": {"every_steps": 1000, "time_s": 1717},
}
HOLDS_ALL = {"samples_per_s": 3.232, "includes": ["evaluation", "checkpoints"]}


def whisper(**changes: Any) -> Estimate:
    return estimate_workload(Workload.model_validate({**WHISPER, **changes}))


def test_pauses_in_the_rate_are_not_added_again() -> None:
    answer = whisper(throughput=HOLDS_ALL)
    parts = answer.clock.parts
    assert parts["training"].seconds is not None
    assert parts["training"].seconds.p50 / 3600 == pytest.approx(21 + 29 / 60, abs=0.01)
    for name in ("evaluation", "checkpoints"):
        assert parts[name].seconds is not None
        assert (parts[name].seconds.p90, parts[name].source.text) == (0, "in the given rate")
    assert answer.clock.total is not None
    assert answer.clock.total.p50 / 3600 == pytest.approx(21.5, abs=0.1)


def test_a_rate_may_hold_one_of_them() -> None:
    parts = whisper(throughput={**HOLDS_ALL, "includes": ["checkpoints"]}).clock.parts
    assert parts["evaluation"].seconds is not None
    assert parts["evaluation"].seconds.p50 == pytest.approx(5 * 1717, rel=0.01)


def codes(answer: Estimate) -> set[str]:
    return {advice.code for advice in answer.warnings}


def test_a_trainers_rate_beside_long_evaluations_is_asked_about() -> None:
    assert "pauses-in-rate" in codes(whisper())
    assert "pauses-in-rate" not in codes(whisper(throughput=HOLDS_ALL))
    assert "pauses-in-rate" not in codes(whisper(evaluation={"every_steps": 1000, "time_s": 5}))
    assert "pauses-in-rate" not in codes(whisper(training={**WHISPER["training"], "framework": "torch"}))
    assert "pauses-in-rate" not in codes(whisper(throughput={"step_time": 15.47}))


def test_an_evaluation_in_the_rate_is_one() -> None:
    assert "no-evaluation" in codes(whisper(evaluation={}))
    assert not {"no-evaluation", "evaluation-length"} & codes(whisper(evaluation={}, throughput=HOLDS_ALL))


def test_includes_belongs_to_a_rate(in_process: Command, tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        '[data]\nsamples = 9\n[training]\nbatch_size = 1\ngpus = 1\n[throughput]\nincludes = ["evaluation"]\n'
    )
    done = in_process("estimate", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert "includes belongs to a rate: give one of samples_per_s" in done.stderr


STEPS = {"batch_size": 8, "gpus": 8, "max_steps": 1000}


@pytest.mark.parametrize(
    ("printed", "step_s"),
    [
        ("7.5187 s/iter", 7.5187),  # LiBai: https://github.com/Oneflow-Inc/libai/pull/551
        ("1.5 steps/s", 1 / 1.5),  # https://github.com/oumi-ai/oumi/pull/103
        ("1.11ups", 1 / 1.11),  # fairseq: https://github.com/facebookresearch/fairseq/issues/3073
        ("1.11 updates/s", 1 / 1.11),
        ("562.11ms", 0.56211),  # nanoGPT: https://github.com/karpathy/nanoGPT/issues/110
        ("10.82s/it", 10.82),  # https://github.com/meta-llama/llama-cookbook/pull/206
    ],
)
def test_a_step_time_is_read_as_logs_print_it(printed: str, step_s: float) -> None:
    job = estimate_workload(Workload.of(**STEPS, step_time=printed))
    assert job.step_time.seconds is not None
    assert job.step_time.seconds.p50 == pytest.approx(step_s)


@pytest.mark.parametrize("printed", ["36,653.244", "36653.244", "36.653244k"])  # MaxText's Tokens/s/device
def test_a_rate_is_read_as_logs_print_it(printed: str) -> None:
    # https://github.com/AI-Hypercomputer/maxtext/pull/761: 24 samples of 2,048 tokens a device, 1.341 s a step
    job = estimate_workload(
        Workload.of(batch_size=24, gpus=4, seq_len=2048, max_steps=10, tokens_per_s_per_gpu=printed)
    )
    assert job.step_time.seconds is not None
    assert job.step_time.seconds.p50 == pytest.approx(1.341, rel=0.001)


@pytest.mark.parametrize("printed", ["36.653,2", "1,23", "k", "36 653"])
def test_what_is_no_rate_is_refused(in_process: Command, printed: str) -> None:
    done = in_process(*"estimate --batch-size 8 --gpus 8 --max-steps 10 --samples-per-s".split(), printed)
    assert (done.returncode, done.stderr) == (2, f"Error: --samples-per-s: {printed!r} is not a number\n")


def test_mfu_and_tokens_per_second_of_one_report_agree() -> None:
    # Llama 2 7B at 4,096 tokens on H100: 9,600 tokens/s/GPU and 46 % MFU, https://github.com/foundation-model-stack/fms-fsdp
    # and its issue 89.
    job = {"tokens": 1e9, "seq_len": 4096, "batch_size": 2, "gpus": 128, "gpu": "h100-sxm"}
    job |= {"parameters": 6_738_415_616}
    by_tokens, by_mfu = (
        estimate_workload(Workload.of(**job, **rate)).step_time.seconds
        for rate in ({"tokens_per_s_per_gpu": 9600}, {"mfu": "46%"})
    )
    assert by_tokens is not None
    assert by_mfu is not None
    assert by_mfu.p50 == pytest.approx(by_tokens.p50, rel=0.03)
