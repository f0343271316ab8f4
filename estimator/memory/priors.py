"""Priors of memory: bytes per parameter, per activation and per GPU, each with its source.

ZeRO            arXiv:1910.02054, section 3.1: 16 bytes per parameter in mixed precision with Adam
DeepSpeed       https://deepspeed.readthedocs.io/en/latest/memory.html: 4 N + 16 N / n with ZeRO-2,
                18 N / n + 4 bytes of the largest layer with ZeRO-3, on n GPUs
Megatron        https://docs.nvidia.com/megatron-core/developer-guide/latest/api-guide/dist_optimizer.html:
                16-bit gradients 4 + 16 / n, fp32 gradients 6 + 12 / n, fp32 weights 8 + 8 / n
Korthikanti     arXiv:2205.05198, table 2: activations of a layer
QLoRA           arXiv:2305.14314
torchtitan      https://github.com/pytorch/torchtitan/blob/main/benchmarks/llama3_h100_202412_torchtitan.md
"""

from dataclasses import dataclass

from ...cluster_profiles.precision import Precision
from ..job.optimizer import Optimizer
from ..ranges import Range

WIDE = (Precision.FP32, Precision.TF32)  # weights and gradients in 32 bit, and no master weights beside them

# Transformer Engine keeps fp8 copies of the weights, 1 or 2 bytes, beside 16-bit ones (its user guide).
WEIGHT_BYTES = {
    Precision.FP32: Range.exactly(4),
    Precision.TF32: Range.exactly(4),
    Precision.FP16: Range.exactly(2),
    Precision.BF16: Range.exactly(2),
    Precision.FP8: Range(2, 3, 4),
}
MASTER_BYTES = 4


@dataclass(frozen=True)
class GradientBytes:
    """Gradients in 16-bit training, bytes per parameter: `whole` in each GPU until ZeRO-3, `shard` divided from ZeRO-1."""

    whole: Range
    shard: Range


# ZeRO keeps 16-bit gradients; Megatron and torch.autocast keep fp32 ones; DeepSpeed's estimator counts 16-bit ones whole
# and an fp32 copy of the shard, which the optimizer takes.  Without sharding the copy is not counted: 16 to 18 in all.
GRADIENT_BYTES = {
    0: GradientBytes(Range(2, 2, 4), Range.exactly(0)),
    1: GradientBytes(Range(2, 2, 4), Range.exactly(4)),
    2: GradientBytes(Range.exactly(2), Range(4, 4, 6)),
    3: GradientBytes(Range.exactly(2), Range(0, 2, 4)),
}

# Values per parameter, and the bits of each.  Adam keeps two moments; 8-bit ones arXiv:2110.02861, 4-bit ones
# arXiv:2309.01507; Adam-mini one, and a value per block (arXiv:2406.16793); AdEMAMix three (arXiv:2409.03137); Lion one
# (arXiv:2302.06675); Muon one, and Adam for embeddings and head (kellerjordan.github.io/posts/muon); Adafactor and
# AdaLomo a row and a column of each matrix (arXiv:1804.04235, arXiv:2310.10195), LOMO nothing (arXiv:2306.09782); GaLore
# moments of low rank, 1.5 of 4 at a rank of a quarter of the hidden size (arXiv:2403.03507): from nothing to Adam's.
STATES = {
    "adam": Range.exactly(2),
    "adam-mini": Range.exactly(1),
    "ademamix": Range.exactly(3),
    "lion": Range.exactly(1),
    "muon": Range(1, 1.1, 2),
    "sgd": Range(0, 1, 1),
    "sgd-momentum": Range.exactly(1),
    "sgd-no-momentum": Range.exactly(0),
    "rmsprop": Range.exactly(1),
    "adagrad": Range.exactly(1),
    "adafactor": Range.exactly(0),
    "galore": Range(0, 0.75, 2),
    "lomo": Range.exactly(0),
    "adalomo": Range.exactly(0),
}


def optimizer_bytes(optimizer: Optimizer, full: int = 4) -> Range:
    """Return the states of the optimizer, bytes per parameter; values that are not quantised have `full` bytes.

    >>> optimizer_bytes(Optimizer("adam")).p50, optimizer_bytes(Optimizer("paged_adamw_8bit")).p50
    (8, 2.0)
    """
    name, _, bits = optimizer.removeprefix("paged-").partition("-")
    if bits in ("8bit", "4bit"):
        return STATES[name].scaled(int(bits[0]) / 8)
    return STATES[optimizer.removeprefix("paged-")].scaled(full)


# Optimizers of torch that update all parameters at once, and hold as many temporaries as weights then, unless they are fused:
# `foreach` in torch.optim's documentation.  DeepSpeed, Megatron and torchtitan, which keep master weights, fuse theirs.
FOREACH = (Optimizer.ADAM,)

# Bytes per parameter of a quantised base.  4 bit: NF4 with double quantisation 4.127 bits, without 4.5 (QLoRA, section
# 3); 8 bit: int8 and a scale per row, outliers in 16 bit (LLM.int8, arXiv:2208.07339).
QUANTISED_BYTES = {4: Range(4.127 / 8, 4.127 / 8, 4.5 / 8), 8: Range(1, 1, 1.1)}
# Embedding and head stay in 16 bit, a row of the hidden size for each word: one where they are tied, otherwise two.
# peft's `prepare_model_for_kbit_training` makes them fp32.
EMBEDDINGS = Range(1, 2, 2)
UNQUANTISED_BYTES = Range(2, 2, 4)
# Words, where the vocabulary is not stated: Llama 2 has 32,000, Qwen 2 152,000.
VOCABULARY = Range(32_000, 64_000, 152_000)

# Layers whose weights and gradients are whole in the GPU while ZeRO-3 and FSDP train them: the largest one (DeepSpeed),
# and the next two, which come ahead of time.
GATHERED_LAYERS = Range(1, 1, 3)
# Buckets in which ZeRO communicates: none at least; 200 million values of 2 bytes once; 4.5 times as many for gradients and
# weights each where communication overlaps (huggingface.co/docs/transformers/deepspeed).
BUCKET_BYTES = Range(0, 2e8 * 2, 2e8 * 2 * 4.5 * 2)

# Share of the active parameters that no expert holds: 29 % gpt-oss-120b, 38 % OLMoE, 45 % DeepSeek-V3, 65 % Llama 4 Scout.
# Models whose parameters are at most 4 times the active ones use a quarter of their experts: 11 % DBRX, 13 % Mixtral 8x7B and
# 8x22B.  From T parameters, A of them active, and k of E experts per token in their model cards:
# (A - T k / E) / (1 - k / E) are in no expert.
SHARED_BY_EXPERTS = Range(0.12, 0.38, 0.65)
SHARED_BY_FEW_EXPERTS = Range(0.11, 0.13, 0.15)
FEW_EXPERTS = 4  # parameters / active parameters

# CUDA's context and kernels, NCCL's buffers, what the allocator cannot use: kernels alone took 1.3 GB in "Model training
# anatomy" (huggingface.co/docs/transformers/model_memory_anatomy).  torch's own peak leaves them out; the upper end is our
# judgement.
OVERHEAD_BYTES = Range(0, 1.3e9, 3e9)

# Activations of one layer, bytes / (sequence length x micro-batch x hidden size), in 16 bit: 34 without the attention
# matrix, 34 + 5 a s / h with it (80 more at s = 2,048 and heads of 128), 2 if they are recomputed (Korthikanti).  Fused
# attention never stores the matrix, and is the default of torch where it runs: 16 bit, from Ampere on
# (github.com/Dao-AILab/flash-attention).  At most 46 then fit torchtitan's Llama 2 13B without recomputation into 80 GB
# (docs/performance.md of 2024-06); norms in fp32, as in transformers, add about 12.
ACTIVATION_BYTES = Range(30, 45, 114)
FUSED_ACTIVATION_BYTES = Range(30, 45, 60)
FUSED_FROM = (8, 0)  # compute capability
# Selective recomputation drops the attention matrix (34), or more: 21 to 25 of torchtitan's table 1.
SELECTIVE_BYTES = Range(20, 34, 45)
RECOMPUTED_BYTES = 2
# Layers whose stored activations are in the GPU where they are offloaded: the one at work, and up to five that are on their
# way (`max_fwd_stash_size` of torchtune and TRL).  The others leave it whole (huggingface/transformers#48444).
OFFLOADED_LAYERS = Range(1, 2, 6)
# Tensor parallelism gathers the input of attention and MLP for a moment, 2 each (Korthikanti, section 4.2.2), undivided.
GATHERED_INPUT_BYTES = Range(0, 0, 4)
# Logits, bytes / (sequence length x micro-batch x words): none with a fused or chunked loss; 8 fit the LoRA peaks of Qwen
# 7B (152,000 words); 15 is between torchtitan's table 2, 14, and unsloth's row for transformers, 15.6 (128,256 words each):
# an fp32 copy, its shifted copy, the log-softmax and their gradients have 4 each, of which not all are there at once.
LOGIT_BYTES = Range(0, 8, 15)
