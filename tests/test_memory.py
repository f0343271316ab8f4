"""Memory: measured peaks are believed first, priors are wide, and what is unknown is not made up."""

from typing import Any

import pytest

from clusterplan import Workload, estimate
from clusterplan.cluster_profiles.precision import Precision
from clusterplan.estimator.job.placement import place
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.memory.peak import Fit, Memory, estimate_memory
from clusterplan.estimator.ranges import Range
from clusterplan.estimator.step_time.source import SourceKind

GB = 10**9


def job(
    *,
    batch_size: int = 8,
    gpus: int = 8,
    seq_len: int | None = 2048,
    gpu: str | None = "a100-sxm4-80gb",
    model: str = "m",
    precision: str = "bf16",
    **training: Any,
) -> Workload:
    """A job; what is no key of [training] goes to [architecture]."""
    architecture = {k: training.pop(k) for k in [*training] if k.endswith("parameters")}
    return Workload.model_validate(
        {
            "model": model,
            "data": {"samples": 1000} | ({"seq_len": seq_len} if seq_len else {}),
            "training": {"batch_size": batch_size, "gpus": gpus, "precision": precision, **training},
            "architecture": architecture,
            "cluster": {"gpu": gpu} if gpu else {},
        }
    )


def run(batch_size: int, peak_gb: int | None, gpus: int = 8, **other: Any) -> Measurement:
    return Measurement(
        **{
            "model": "m",
            "gpu": "a100-sxm4-80gb",
            "nodes": 1,
            "gpus": gpus,
            "gpus_per_node": gpus,
            "batch_size": batch_size,
            "accumulation": 1,
            "precision": Precision.BF16,
            "seq_len": 2048,
            "step_time_s": 1.0,
            "memory_peak_bytes": None if peak_gb is None else int(peak_gb * GB),
            **other,
        }
    )


def memory(workload: Workload, *runs: Measurement) -> Memory:
    return estimate_memory(workload, place(workload, None), runs)


def gb(amount: Range) -> list[float]:
    return [round(x / GB, 1) for x in (amount.p10, amount.p50, amount.p90)]


def test_measured_peaks_are_a_line_in_the_micro_batch() -> None:
    answer = memory(job(batch_size=16), run(4, 20), run(8, 30))
    assert (gb(answer.peak_bytes), answer.fits) == ([47.6, 50.0, 52.5], Fit.YES)
    assert answer.source.text == "peaks of 2 runs of m at micro-batch 4 to 8"


def test_the_largest_micro_batch_is_the_last_whose_p90_fits() -> None:
    answer = memory(job(batch_size=16), run(4, 20), run(8, 30))  # 10 GB + 2.5 GB each, 5 % spread, 80 GB
    assert answer.largest_batch_size == 26
    assert memory(job(batch_size=26), run(4, 20), run(8, 30)).fits is Fit.YES
    assert memory(job(batch_size=27), run(4, 20), run(8, 30)).fits is Fit.TIGHT
    assert memory(job(batch_size=36), run(4, 20), run(8, 30)).fits is Fit.NO


def test_one_measured_micro_batch_bounds_the_others() -> None:
    answer = memory(job(batch_size=16), run(8, 30))  # between 30 GB, all of it kept, and 60 GB, none
    assert gb(answer.peak_bytes) == [28.6, 45.0, 63.0]
    assert "the memory per sample is not measured" in answer.source.text


def test_a_shape_that_was_measured_is_as_it_was() -> None:
    assert gb(memory(job(batch_size=8), run(8, 30)).peak_bytes) == [28.6, 30.0, 31.5]


def test_runs_that_scatter_widen_the_range() -> None:
    straight = memory(job(batch_size=16), run(4, 20), run(8, 30), run(12, 40))
    bent = memory(job(batch_size=16), run(4, 20), run(8, 38), run(12, 40))
    assert bent.peak_bytes.p90 / bent.peak_bytes.p50 > straight.peak_bytes.p90 / straight.peak_bytes.p50


def test_what_ran_on_this_gpu_fits_however_tight() -> None:
    assert memory(job(batch_size=8), run(8, 92)).fits is Fit.TIGHT
    assert memory(job(batch_size=8), run(8, 92)).largest_batch_size == 8
    assert memory(job(batch_size=8), run(8, 92, gpu="h200")).fits is Fit.NO


@pytest.mark.parametrize(
    "other", [{"model": "n"}, {"precision": Precision.FP32}, {"seq_len": 4096}, {"peak_gb": None}]
)
def test_runs_of_something_else_tell_nothing(other: dict[str, Any]) -> None:
    peak = other.pop("peak_gb", 30)
    assert memory(job(), run(8, peak, **other)).source.kind is SourceKind.UNKNOWN


def test_a_length_that_the_job_or_the_run_does_not_state_is_the_others() -> None:
    assert memory(job(seq_len=None), run(8, 30)).fits is Fit.YES
    assert memory(job(), run(8, 30, seq_len=None)).fits is Fit.YES
    assert memory(job(seq_len=None), run(8, 30), run(8, 60, seq_len=4096)).peak_bytes is None


def test_without_a_gpu_the_precision_is_that_of_the_runs() -> None:
    workload = job(gpu=None, precision="auto")
    assert gb(memory(workload, run(8, 30)).peak_bytes)[1] == 30.0
    assert memory(workload, run(8, 30), run(8, 60, precision=Precision.FP32)).peak_bytes is None


def test_more_gpus_take_over_the_peak_of_fewer_and_say_so() -> None:
    answer = memory(job(gpus=16), run(8, 30, gpus=4), run(8, 20, gpus=8))
    assert (answer.source.kind, gb(answer.peak_bytes)[1]) == (SourceKind.TRANSFERRED, 20.0)
    assert "as on 8 GPUs" in answer.source.text


def test_fewer_gpus_do_so_only_where_nothing_is_sharded() -> None:
    assert memory(job(gpus=4), run(8, 30)).source.kind is SourceKind.UNKNOWN
    assert memory(job(gpus=4, zero_stage=0), run(8, 30)).source.kind is SourceKind.TRANSFERRED


@pytest.mark.parametrize(
    "runs", [[run(4, 40), run(8, 30)], [run(4, 1), run(8, 30)]], ids=["falling", "steep"]
)
def test_contradicting_peaks_make_no_absurd_line(runs: list[Measurement]) -> None:
    small = memory(job(batch_size=1), *runs).peak_bytes
    large = memory(job(batch_size=64), *runs).peak_bytes
    assert 0 < small.p50 <= large.p50


@pytest.mark.parametrize(
    ("stage", "bytes_each"), [(0, 16), (1, 4 + 16 / 8), (2, 4 + 16 / 8), (3, 16 / 8)], ids=str
)
def test_zero_shards_states_as_published(stage: int, bytes_each: float) -> None:
    """16 bytes a parameter: 2 weights, 2 gradients, 12 of Adam in mixed precision (arXiv:1910.02054, section 3.1).

    Megatron's distributed optimizer and DeepSpeed's estimator of ZeRO-2 have 4 + 16 / n on n GPUs.
    """
    text = memory(job(parameters=10**10, zero_stage=stage)).source.text
    low = float(text.split(f"zero_stage {stage}: ")[1].split(" ", 1)[0])
    assert low == pytest.approx(10 * bytes_each, rel=0.06)


@pytest.mark.parametrize(
    ("optimizer", "whole"),
    [
        ("adam", 16),
        ("AdamW", 16),
        ("adamw_torch_fused", 16),
        ("adam-8bit", 10),
        ("adamw_8bit", 10),
        ("adamw_bnb_8bit", 10),
        ("PagedAdamW8bit", 10),
        ("adamw_torch_4bit", 9),
        ("adam-mini", 12),
        ("ademamix", 20),
        ("lion_32bit", 12),
        ("lion_8bit", 9),
        ("sgd-momentum", 12),
        ("sgd", 8),
        ("sgd-no-momentum", 8),
        ("adafactor", 8),
    ],
)
def test_optimizers_keep_what_they_keep(optimizer: str, whole: int) -> None:
    assert f": {whole} to " in memory(job(parameters=10**9, zero_stage=0, optimizer=optimizer)).source.text


def test_full_precision_keeps_as_much_in_other_parts() -> None:
    # The upper end has torch's temporaries of a step: torch.optim, `foreach`.
    assert (
        ": 16 to 20 GB per GPU" in memory(job(parameters=10**9, zero_stage=0, precision="fp32")).source.text
    )


def test_temporaries_of_a_step_need_a_whole_step() -> None:
    whole = job(parameters=10**9, zero_stage=0, precision="fp32", optimizer_in_backward=True)
    assert ": 12 GB per GPU" in memory(whole).source.text


def test_adapters_spare_gradients_and_states() -> None:
    small = memory(
        job(parameters=7 * 10**9, trainable_parameters=2 * 10**7, zero_stage=0, recompute=True, batch_size=1)
    )
    assert (small.fits, small.source.kind) == (Fit.YES, SourceKind.PRIOR)


def test_an_unstated_stage_is_wide_and_said() -> None:
    answer = memory(job(parameters=7 * 10**9, batch_size=1, recompute=True))
    assert answer.fits is None
    assert "zero_stage not stated, so 0 to 3" in answer.source.text


def test_what_no_sharding_saves_does_not_fit_even_without_activations() -> None:
    answer = memory(job(parameters=70 * 10**9, seq_len=None, optimizer="adam", master_weights=True))
    assert (answer.peak_bytes, answer.fits, answer.largest_batch_size) == (None, Fit.NO, 0)


@pytest.mark.parametrize(
    ("workload", "missing"),
    [
        (job(seq_len=None), "parameters and seq_len"),
        (job(parameters=10**9, precision="auto", gpu=None), "the GPU type or a precision"),
        (job(parameters=10**8, seq_len=None), "activations need seq_len or a measured run"),
    ],
)
def test_what_is_missing_is_named(workload: Workload, missing: str) -> None:
    answer = memory(workload)
    assert (answer.peak_bytes, answer.fits, answer.source.kind) == (None, None, SourceKind.UNKNOWN)
    assert missing in answer.source.text


def test_without_a_gpu_the_peak_is_known_and_the_fit_is_not() -> None:
    answer = memory(job(parameters=10**9, gpu=None))
    assert (answer.peak_bytes is not None, answer.fits) == (True, None)


def test_more_of_anything_takes_no_less() -> None:
    base: dict[str, Any] = {"parameters": 10**9, "batch_size": 8, "seq_len": 2048, "zero_stage": 2}
    peak = memory(job(**base)).peak_bytes
    for more in ({"parameters": 2 * 10**9}, {"batch_size": 9}, {"seq_len": 4096}, {"zero_stage": 1}):
        assert all(a >= b for a, b in zip(gb(memory(job(**base | more)).peak_bytes), gb(peak), strict=True))


def test_the_estimate_carries_it_and_warns() -> None:
    answer = estimate(job(batch_size=64), measurements=[run(4, 20), run(8, 30)])
    (text,) = [a.text for a in answer.warnings if a.code == "memory"]
    assert text.startswith(
        "does not fit: a GPU needs 162 to 178 GB, A100-SXM4-80GB has 80 GB (measured: peaks of 2 runs"
    )
    assert text.endswith("; a micro-batch of 26 should fit")


def test_a_run_whose_replica_was_spread_tells_nothing_of_one_that_is_not() -> None:
    spread = run(8, 60, model_parallel=8)
    assert memory(job(parameters=70e9), spread).source.kind is SourceKind.PRIOR
    assert memory(job(tensor_parallel=8), spread).source.kind is SourceKind.MEASURED


@pytest.mark.parametrize(
    ("wanted", "other", "kind"),
    [
        ({"zero_stage": 3}, {"zero_stage": 3}, SourceKind.MEASURED),
        ({"zero_stage": 3}, {"zero_stage": None}, SourceKind.MEASURED),
        ({}, {"zero_stage": 3}, SourceKind.MEASURED),
        ({"zero_stage": 3}, {"zero_stage": 1}, SourceKind.UNKNOWN),
        ({"tensor_parallel": 8}, {"model_parallel": 8, "tensor_parallel": 4}, SourceKind.UNKNOWN),
        ({"trainable_parameters": 10**7}, {"trainable_parameters": 7 * 10**9}, SourceKind.UNKNOWN),
    ],
    ids=str,
)
def test_a_peak_holds_for_the_same_sharding_split_and_trained_parameters(
    wanted: dict[str, Any], other: dict[str, Any], kind: SourceKind
) -> None:
    assert memory(job(**wanted), run(8, 30, **other)).source.kind is kind


def test_a_job_without_a_zero_stage_takes_no_mean_of_two() -> None:
    assert memory(job(), run(8, 30, zero_stage=3), run(8, 60, zero_stage=1)).peak_bytes is None


def test_what_is_not_stated_may_decide_and_is_named() -> None:
    """3B parameters and Adam take 48 GB; in bf16 without states, 12."""
    whole = estimate(job(parameters=3 * 10**9, batch_size=1, gpus=1, gpu="rtx-4090", recompute=True))
    assert (whole.memory.fits, whole.memory.undecided) == (Fit.TIGHT, ("training.optimizer",))
    (text,) = [a.text for a in whole.warnings if a.code == "memory"]
    assert text.startswith("does not fit as far as stated: a GPU needs 49 to ")
    assert text.endswith("; training.optimizer may decide, not stated yet")


def test_what_is_stated_does_not_fit_whatever_is_left_out() -> None:
    stated: dict[str, Any] = {
        "optimizer": "adam",
        "master_weights": True,
        "recompute": True,
        "optimizer_in_backward": False,
    }
    answer = memory(job(parameters=3 * 10**9, batch_size=1, gpus=1, gpu="rtx-4090", **stated))
    assert (answer.fits, answer.undecided) == (Fit.NO, ())


def test_paged_states_leave_the_gpu_only_as_far_as_needed() -> None:
    base: dict[str, Any] = {"parameters": 10**9, "gpus": 1, "recompute": True, "gpu": "rtx-4090"}
    base |= {"seq_len": 512}
    roomy = memory(job(batch_size=1, optimizer="paged-adam", **base)).peak_bytes
    whole = memory(job(batch_size=1, optimizer="adam", **base)).peak_bytes
    assert (roomy.p50, roomy.p90) == (whole.p50, whole.p90)
    tight = job(batch_size=1, optimizer="paged-adam", **base | {"parameters": 15 * 10**8})
    assert memory(tight).peak_bytes.p50 == 24e9  # 26 GB with all states, 14 without
    assert memory(tight).fits is Fit.YES


@pytest.mark.parametrize("shared", ["context_parallel", "sequence_parallel"])
def test_ranks_that_share_a_sequence_hold_no_copies_of_states(shared: str) -> None:
    plain = memory(job(parameters=10**10, zero_stage=3)).source.text
    split: dict[str, Any] = {shared: 4}
    assert memory(job(parameters=10**10, zero_stage=3, **split)).source.text == plain
