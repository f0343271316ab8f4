"""Memory as others publish it: peaks, tables and estimators, each with its source."""

from typing import Any

import pytest

from clusterplan import Workload
from clusterplan.estimator.job.placement import place
from clusterplan.estimator.memory.peak import Fit, Memory, estimate_memory

GIB = 2**30
LLAMA_3 = {8: 8.03e9, 70: 70.6e9, 405: 405.9e9}


def memory(
    parameters: float,
    seq_len: int,
    gpu: str = "a100-sxm4-80gb",
    nodes: int | None = None,
    precision: str = "bf16",
    **keys: Any,
) -> Memory:
    """The memory of a job; what belongs to no other table goes to [training]."""
    names = ("active_parameters", "trainable_parameters", "base_bits")
    architecture = {"parameters": parameters} | {k: keys.pop(k) for k in names if k in keys}
    workload = Workload.model_validate(
        {
            "data": {"samples": 1000, "seq_len": seq_len},
            "training": {"batch_size": 1, "gpus": 1, "precision": precision, **keys},
            "architecture": architecture,
            "cluster": {"gpu": gpu} | ({"nodes": nodes} if nodes else {}),
        }
    )
    return estimate_memory(workload, place(workload, None))


def holds(answer: Memory, measured: float) -> bool:
    return answer.peak_bytes is not None and answer.peak_bytes.p10 <= measured <= answer.peak_bytes.p90


def states_gb(answer: Memory) -> tuple[float, float]:
    """The ends of the line on weights, gradients and optimizer states."""
    text = answer.source.text.rsplit(": ", 1)[1].split(" GB")[0]
    low, _, high = text.partition(" to ")
    return float(low), float(high or low)


def test_qlora_on_two_small_gpus_is_no_certain_no() -> None:
    """70B in 4 bit over two cards of 24 GB: LLaMA-Factory, changelog of 24/03/20 (FSDP + QLoRA)."""
    job: dict[str, Any] = {"gpus": 2, "zero_stage": 3, "trainable_parameters": 104e6, "gpu": "rtx-4090"}
    unsaid = memory(70.6e9, 512, **job)
    assert (unsaid.fits, unsaid.undecided[-1]) == (Fit.TIGHT, "architecture.base_bits")
    said = memory(70.6e9, 512, base_bits=4, recompute=True, **job)
    assert (said.fits, said.undecided) == (Fit.TIGHT, ())
    low, high = states_gb(said)
    assert low < 70.6 * 4.127 / 8 / 2 * 1.15 < high


def test_all_bf16_with_paged_8_bit_adam_pages_what_is_too_much() -> None:
    """Llama 3 8B with torchtune's full single-device recipe on one L40S of 48 GB: 2 + 2 + 2 bytes per parameter."""
    job: dict[str, Any] = {"gpu": "l40s", "recompute": True, "master_weights": False}
    answer = memory(8.03e9, 8192, optimizer="paged_adamw_8bit", **job)
    assert states_gb(answer) == (48, 48)
    assert answer.fits in (Fit.YES, Fit.TIGHT)
    unpaged = memory(8.03e9, 8192, optimizer="adam-8bit", **job)
    assert unpaged.undecided == ("training.optimizer_in_backward",)


def test_sgd_without_momentum_in_bf16_is_weights_and_gradients() -> None:
    """LLaMA 7B with SGD: 27.8 GB measured on one A100 of 40 GB."""
    answer = memory(
        6.74e9, 512, "a100-sxm4-40gb", optimizer="sgd-no-momentum", master_weights=False, recompute=True
    )
    assert answer.fits is Fit.YES
    assert holds(answer, 27.8e9 + 0.5e9)


def test_experts_are_spread_over_gpus() -> None:
    """Mixtral 8x7B (arXiv:2401.04088: 46.7B, 12.9B active) on 16 H100, tensor parallel 2 and expert parallel 8.

    8 experts, 2 of them per token: 45.1B belong to experts, and (1.6 + 45.1 / 8) / 2 = 0.8 + 2.8B parameters to a GPU.
    Megatron keeps 6 + 12 / 8 bytes of the first, which 8 GPUs hold, and 18 of the others.
    """
    job: dict[str, Any] = {"gpus": 16, "tensor_parallel": 2, "zero_stage": 1, "gpu": "h100-sxm"}
    answer = memory(46.7e9, 2048, expert_parallel=8, active_parameters=12.9e9, **job)
    published = 0.8 * (6 + 12 / 8) + 2.8 * 18
    low, high = states_gb(answer)
    assert answer.fits is not Fit.NO
    assert low <= published <= high
    unsaid = memory(46.7e9, 2048, active_parameters=12.9e9, **job)
    assert (unsaid.fits, unsaid.undecided) == (
        Fit.TIGHT,
        ("training.recompute", "training.expert_parallel"),
    )


@pytest.mark.parametrize("split", ["sequence_parallel", "context_parallel"])
def test_ranks_that_share_a_sequence_shard_the_states_too(split: str) -> None:
    """8.19B over 8 GPUs that share each sequence: 16 to 20 N / 8, and what ZeRO-3 gathers."""
    job: dict[str, Any] = {"gpus": 8, split: 8}
    answer = memory(8.19e9, 32_768, zero_stage=3, recompute=True, **job)
    low, high = states_gb(answer)
    assert 16 <= low <= 18
    assert 20 <= high <= 24
    assert answer.fits is Fit.YES


def test_zero_2_keeps_16_bit_gradients_whole_at_the_peak() -> None:
    """DeepSpeed's own estimator: 4 N + 16 N / n, 42 GB for 7.06B on 8 GPUs, which have 40."""
    answer = memory(7.06e9, 2048, "a100-sxm4-40gb", nodes=2, gpus=8, zero_stage=2, recompute=True)
    assert states_gb(answer)[0] == 42
    assert answer.fits in (Fit.TIGHT, Fit.NO)


@pytest.mark.parametrize(
    ("stage", "offload", "gib"),
    [
        (2, (), 15.93),
        (2, ("optimizer",), 5.31),
        (3, (), 6.10),
        (3, ("optimizer",), 0.79),
        (3, ("optimizer", "parameters"), 0.12),
    ],
)
def test_deepspeed_estimates_as_much(stage: int, offload: tuple[str, ...], gib: float) -> None:
    """The table of deepspeed.readthedocs.io/en/latest/memory.html for t5-3b, 2,851M parameters, on 8 GPUs.

    Its largest layer has 32M parameters; ours, 117M, is what a decoder of as many has.
    """
    answer = memory(2851e6, 512, gpus=8, zero_stage=stage, offload=offload)
    low, high = states_gb(answer)
    gathered = 0.5 if stage == 3 else 0.0
    assert low * 0.97 - gathered <= gib * GIB / 1e9 <= high
