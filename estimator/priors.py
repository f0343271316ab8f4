"""What is assumed where nothing was given or measured: ranges of published measurements, with sources.

Every number an estimate takes from here is labelled `prior`.
"""

from dataclasses import dataclass

from ..cluster_profiles.precision import Precision
from .ranges import Range

_MLPERF = "MLPerf Training v4.1 logs"
_DLE = "NVIDIA/DeepLearningExamples tables"


@dataclass(frozen=True)
class Prior:
    """A range, and the published measurements it comes from."""

    range: Range
    text: str


# Medians by benchmark 20, 31, 65, 83, 86, 219 s; P90 up to 370 s.  Excludes queue and container pull.
STARTUP_S = Prior(Range(20, 75, 370), f"{_MLPERF}: medians 20 to 219 s, P90 up to 370 s")

# Of the run's training time.  Share of the whole run, medians by benchmark: 6.3, 6.4, 10.5, 11.2, 11.6 %;
# maximum 29 % (53 % in one).  Share s of the whole is s / (1 - s) of training.
EVALUATION_SHARE = Prior(
    Range(0.063 / 0.937, 0.105 / 0.895, 0.29 / 0.71), f"{_MLPERF}: 6 to 12 % of a run, at most 29 %"
)
# Where the job does not say whether it evaluates at all, it may not.
EVALUATION_SHARE_UNSTATED = Prior(
    Range(0, 0.063 / 0.937, 0.116 / 0.884), f"not stated; {_MLPERF}: 6 to 12 % of a run, or none"
)

# Blocking save: llm.c 124M 5.4 s (llm.c#651); 7B async 6.3 s, sync 149 s (PyTorch DCP blog);
# BLOOM 176B 40 s (stas00/ml-engineering); Megatron 1T about 51 s (arXiv:2104.04473).
CHECKPOINT_S = Prior(Range(5, 40, 150), "published saves of 0.1B to 1T models: 5 to 150 s")

# Per 1,000 days of a node of 8 GPUs.  Meta RSC-2 2.34, RSC-1 6.50 (arXiv:2410.21680); the P90 is RSC-1 times
# the 3.7 by which its 1,024-GPU jobs failed more often than the hardware did.
NODE_FAILURES_PER_1000_DAYS = Prior(Range(2.34, 6.5, 24.0), "Meta RSC: 2.3 to 24 in 1,000 node-days")
FAILURE_NODE_GPUS = 8

# Model FLOPs utilisation.  16-bit, published: BLOOM 50 %, PaLM 46 %, Llama 3 38-43 %, llm-foundry on H100
# 26-46 %, image-text fine-tunes 30-40 %, untuned jobs down to 6 %; fp8: 14-30 % of its peak (llm-foundry),
# 21 % DeepSeek-V3.  fp32 has no published series: CUDA cores come closer to their peak, so wide and higher.
MFU = {
    Precision.BF16: Range(0.15, 0.35, 0.52),
    Precision.FP16: Range(0.15, 0.35, 0.52),
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

# Samples/s per GPU kept with each doubling of the GPUs: 1 -> 8 keeps 71, 91, 99 % (347 pairs).
EFFICIENCY_PER_DOUBLING = Prior(
    Range(0.713 ** (1 / 3), 0.914 ** (1 / 3), 0.989 ** (1 / 3)),
    f"71 to 99 % of the speed per GPU kept from 1 to 8 GPUs ({_DLE})",
)

# Part of a step that does not shrink with the micro-batch, at the measured one (38 series of step times
# on T4 to A100; the fixed-cost term of their joint fit at a step of 0.4 s).
FIXED_SHARE = Prior(Range(0.08, 0.26, 0.59), "8 to 59 % of a step does not shrink with the micro-batch")

# Speed in the second precision over the first (n = 332, 239; the third follows from those two).
_FASTER = {
    (Precision.FP32, "16-bit"): Prior(Range(1.42, 2.84, 4.06), f"x1.4 to x4.1 from fp32 to 16-bit ({_DLE})"),
    (Precision.TF32, "16-bit"): Prior(Range(1.12, 1.82, 2.55), f"x1.1 to x2.6 from tf32 to 16-bit ({_DLE})"),
    (Precision.FP32, Precision.TF32): Prior(
        Range(1.0, 1.56, 2.54), f"x1.0 to x2.5 from fp32 to tf32 ({_DLE})"
    ),
    ("16-bit", "16-bit"): Prior(Range(0.95, 1.0, 1.05), "bf16 and fp16 have one tensor rate"),
}


def speed_ratio(before: Precision, after: Precision) -> Prior | None:
    """Speed in `after` over speed in `before`; None where nothing was published (fp8).

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
