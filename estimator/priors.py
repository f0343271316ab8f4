"""Priors: ranges of published measurements, with their sources, for numbers that are neither given nor measured.

Every number an estimate takes from here is labelled `prior`, or named as assumed.  Read 2026-11:

    MLPerf Training v4.1   https://github.com/mlcommons/training_results_v4.1
    DeepLearningExamples   https://github.com/NVIDIA/DeepLearningExamples
    llm-foundry            https://github.com/mosaicml/llm-foundry/tree/main/scripts/train/benchmarking
    Megatron-Bridge        https://github.com/NVIDIA-NeMo/Megatron-Bridge/blob/main/docs/performance-summary.md
    Pollux, Sia            https://github.com/petuum/adaptdl, https://github.com/siasosp23/artifacts
"""

import math
from dataclasses import dataclass

from ..cluster_profiles.precision import Precision
from ..cluster_profiles.units import HOUR_S
from .ranges import Range

_MLPERF = "MLPerf Training v4.1 logs"
_DLE = "NVIDIA/DeepLearningExamples tables"


@dataclass(frozen=True)
class Prior:
    """A range, and the published measurements that it comes from."""

    range: Range
    text: str


# Medians by benchmark 20, 31, 65, 83, 86, 219 s; P90 up to 370 s.  Excludes queue and container pull.
STARTUP_S = Prior(Range(20, 75, 370), f"{_MLPERF}: medians 20 to 219 s, P90 up to 370 s")

# Shares of evaluation in the training time of one hour; a longer run has `evaluation_shrinkage` of them.
# Share of the whole run, medians by benchmark: 6.3, 6.4, 10.5, 11.2, 11.6 %; share s of the whole is s / (1 - s) of
# training.  A job that states no evaluation may have none.
EVALUATION_SHARE_UNSTATED = Prior(
    Range(0, 0.063 / 0.937, 0.116 / 0.884), f"not stated; {_MLPERF}: 6 to 12 % of a run of an hour, or none"
)
# An evaluation of unknown length: ten times less where a few batches are scored, ten times more where text is generated
# (twice the training in huggingface/peft#632).
EVALUATION_SHARE_UNTIMED = Prior(
    Range(0.0117, 0.117, 1.17), f"{_MLPERF}: 12 % of training in a run of an hour, a tenth to ten times that"
)


def evaluation_shrinkage(training_s: float) -> float:
    """Return the share of evaluation in a run of this training time over that in one of an hour: half for ten times the time.

    MLPerf runs of minutes to hours spend 6 to 12 % on it, nanoGPT's 4 days 3 % (github.com/karpathy/nanoGPT: 400 batches scored
    per 1,000 steps of 5 per GPU), BLOOM's 118 days 0.7 % (github.com/bigscience-workshop/bigscience, train/tr11-176B-ml).

    >>> round(0.067 * evaluation_shrinkage(118 * 86400), 4)
    0.0061
    """
    return float(2 ** -math.log10(max(training_s / HOUR_S, 1)))


# Time of an evaluated sample over what its FLOPs say from that of a trained one.  0.85, 0.90, 0.92, 1.1, 1.6: eval and
# train samples/s in all_results.json of zephyr-7b-sft-qlora, -7b-sft-full (two), -7b-teacher and -1.1b-sft-full
# (huggingface.co).  Slower where batches are small, samples are padded, or a loader starts anew each time.
EVALUATION_WORK = Prior(Range(0.7, 1.0, 2.0), "x0.7 to x2 (Hugging Face model cards)")

# Seconds that a save stops training, for a model of unknown size: the published saves below.
CHECKPOINT_S = Prior(Range(5, 40, 150), "5 to 150 s (published saves of 0.1B to 1T models)")
# A checkpoint has 14 bytes per trained parameter: 2 of weights, 4 of fp32 master weights and 8 of Adam's moments (BLOOM's
# has 2.3 TB of 176B).  GB/s of each writing node: 0.32 llm.c 124M (github.com/karpathy/llm.c/pull/651), 0.66 a 7B model
# in 149 s, 16 in 6 s asynchronously (pytorch.org/blog/reducing-checkpointing-times), 1.2 BLOOM in 40 s
# (github.com/stas00/ml-engineering), 0.7 Megatron 1T in 51 s (arXiv:2104.04473), 0.27 8B in 6 minutes
# (pytorch/torchtitan#1301), 0.2 to 0.6 13B in 5 to 15 minutes (epfLLM/Megatron-LLM#69), 6.4 to a node's own disk
# (awslabs/awsome-distributed-ai#1225).
CHECKPOINT_BYTES = 14
CHECKPOINT_BYTES_PER_S = Prior(Range(0.2e9, 0.7e9, 5e9), "0.2 to 5 GB/s per node (published saves)")
SHORTEST_CHECKPOINT_S = 1.0  # files, and the ranks that wait for each other; our judgement

# Per 1,000 days of a node of 8 GPUs.  Meta RSC-2 2.34, RSC-1 6.50 (arXiv:2410.21680); the P90 is RSC-1 times
# the 3.7 by which its 1,024-GPU jobs failed more often than the hardware did.
NODE_FAILURES_PER_1000_DAYS = Prior(Range(2.34, 6.5, 24.0), "Meta RSC: 2.3 to 24 per 1,000 node-days")
FAILURE_NODE_GPUS = 8

# Model FLOPs utilisation, attention counted.  16-bit, published: PaLM 46 % (arXiv:2204.02311), Llama 3 38-43 %
# (arXiv:2407.21783), llm-foundry on H100 26-46 %, on A100 36-64 % (P90 60 %) and with recomputation counted 47-79 %,
# TinyLlama 56 % (github.com/jzhang38/TinyLlama), image-text fine-tunes 30-40 % (lmms-engine.readthedocs.io), untuned
# jobs down to 6 % (NVIDIA/Megatron-LM#1000); fp8: 14-30 % of its peak (llm-foundry), about 21 % DeepSeek-V3
# (arXiv:2412.19437).  fp32 has no published series: CUDA cores come closer to their peak, so wide and higher.
MFU = {
    Precision.BF16: Range(0.15, 0.35, 0.60),
    Precision.FP16: Range(0.15, 0.35, 0.60),
    Precision.TF32: Range(0.16, 0.38, 0.57),
    Precision.FP8: Range(0.10, 0.22, 0.40),
    Precision.FP32: Range(0.30, 0.55, 0.80),
}
# Mixture of experts on active parameters, Megatron-Bridge tables: 14, 18, 30 % in 16 bit; 12, 17, 22 % in fp8.
MFU_MOE = {
    Precision.BF16: Range(0.08, 0.18, 0.35),
    Precision.FP16: Range(0.08, 0.18, 0.35),
    Precision.TF32: Range(0.08, 0.20, 0.38),
    Precision.FP8: Range(0.08, 0.17, 0.28),
    Precision.FP32: Range(0.15, 0.30, 0.60),
}

# With recomputation the prior counts the FLOPs of the hardware, of which more are reached: 70 % instead of 60 % in 16 bit.
# llm-foundry 47-79 %, InternLM 7B 62 % (github.com/InternLM/InternLM, doc/en/train_performance.md), adapters of 7B to 70B on RTX
# 3090 and 4090 59-64 % (github.com/AnswerDotAI/fsdp_qlora, benchmarks_03_2024.md), on A100 56-62 % (Qwen's README).
RECOMPUTING_FASTEST = 0.70 / 0.60

# Seconds of a layer and micro-batch beside its FLOPs, forward and backward.  30 to 60 kernels are started in 5 to 10 us each;
# LoRA in plain PyTorch took 4.0 to 4.8 ms of 1.3B to 13B with micro-batches of some 100 tokens (github.com/Lightning-AI/litgpt,
# tutorials/resource-tables.md), 5.2 ms with recomputation (1.8B at 256 tokens, README of github.com/QwenLM/Qwen).
LAYER_S = Range(0.15e-3, 0.6e-3, 5e-3)
# Each pass over quantised weights reads them and writes them in 16 bit first; the time of that over the bytes' at the memory's
# bandwidth: 3.6 to 4.6 (litgpt's table, NF4 of 7B and 13B), 4 to 8 (Qwen's, int4 of 7B to 72B); no faster than the memory.
DEQUANTISING = Range(1, 3, 6)

# Layers x hidden size over the guess of `job.flops`, for 160 to 64 of hidden size per layer: (128 / x)^(1/3).
GUESSED_ATTENTION = Range(0.93, 1, 1.26)
# Where no parameters are stated: 1,024 is GPT-2 medium (0.35B), 4,096 Llama 2 7B, 8,192 Llama 2 70B.
HIDDEN_SIZE = Prior(Range(1024, 4096, 8192), "hidden sizes of 1,024 to 8,192, as no parameters are stated")

# Speed in the second precision over the first (n = 332, 239; the third follows from those two).
_FASTER = {
    (Precision.FP32, "16-bit"): Prior(Range(1.42, 2.84, 4.06), f"x1.4 to x4.1 from fp32 to 16-bit ({_DLE})"),
    (Precision.TF32, "16-bit"): Prior(Range(1.12, 1.82, 2.55), f"x1.1 to x2.6 from tf32 to 16-bit ({_DLE})"),
    (Precision.FP32, Precision.TF32): Prior(
        Range(1.0, 1.56, 2.54), f"x1.0 to x2.5 from fp32 to tf32 ({_DLE})"
    ),
    ("16-bit", "16-bit"): Prior(Range(0.95, 1.0, 1.05), "bf16 and fp16 have one tensor rate"),
}


# Step time on the faster of two GPUs over that on the slower, times the ratio of their memory bandwidths: 12 pairs
# of one model in one shape (BERT, ResNets, NCF on T4, RTX 6000 and A100; step times published with Sia, SOSP 2023).
OTHER_GPU = Prior(
    Range(0.73, 1.3, 2.76), "x0.7 to x2.8 of what the memory bandwidths say (4 models on T4, RTX 6000, A100)"
)


def speed_ratio(before: Precision, after: Precision) -> Prior | None:
    """Return the speed in `after` over that in `before`; None if none is published (fp8).

    >>> speed_ratio(Precision.FP32, Precision.BF16).range.p50
    2.84
    """
    one, other = (_bits(precision) for precision in (before, after))
    if prior := _FASTER.get((one, other)):
        return prior
    if prior := _FASTER.get((other, one)):
        return Prior(prior.range.inverted(1), prior.text)
    return None


def _bits(precision: Precision) -> Precision | str:
    return "16-bit" if precision in (Precision.BF16, Precision.FP16) else precision


# Repeats of one configuration differ by 4 to 6 % in the step times published with Pollux (OSDI 2021) and Sia
# (SOSP 2023); used where no spread is given.
STATED_SPREAD = 0.05
