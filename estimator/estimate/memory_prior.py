"""The memory of one GPU by the parameters of the model: weights, gradients, optimizer states, activations.

Activations are those of a transformer with as many parameters.
"""

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_significant
from ..job.flops import layers_and_hidden
from ..job.placement import Placement
from ..job.workload import Workload
from ..priors import (
    ACTIVATION_BYTES,
    GRADIENT_BYTES,
    LOGIT_BYTES,
    MASTER_BYTES,
    OPTIMIZER_BYTES,
    RECOMPUTED_ACTIVATION_BYTES,
    WEIGHT_BYTES,
)
from ..ranges import Range


def bytes_of_states(workload: Workload, placement: Placement, parameters: int) -> tuple[Range, str]:
    """Return weights, gradients and optimizer states in one GPU, in bytes, and a line on how they follow."""
    training, precision = workload.training, placement.precision
    parameters_per_gpu = parameters / (training.tensor_parallel * training.pipeline_parallel)
    trained_share = workload.architecture.trained_share
    stages, shards = (0, 0, 3), training.data_parallel
    if training.zero_stage is not None or shards == 1:
        stages = (training.zero_stage or 0,) * 3
    state = MASTER_BYTES[precision] + OPTIMIZER_BYTES[training.optimizer]

    def bytes_per_parameter(q: str, stage: int) -> float:
        weights, gradients = getattr(WEIGHT_BYTES[precision], q), getattr(GRADIENT_BYTES[precision], q)
        parts = ((weights, 3), (gradients * trained_share, 2), (state * trained_share, 1))
        return sum(part / (shards if stage >= from_stage else 1) for part, from_stage in parts)

    most, middle, least = (
        bytes_per_parameter(q, stage) for q, stage in zip(("p90", "p50", "p10"), stages, strict=True)
    )
    states = Range(min(least, middle), middle, max(middle, most)).scaled(parameters_per_gpu)
    sharding = f"zero_stage {stages[0]}" if stages[0] == stages[2] else "zero_stage not stated, so 0 to 3"
    trained = "" if trained_share == 1 else f", {trained_share:.2g} of them trained,"
    text = (
        f"{format_significant(parameters / 1e9)}B parameters{trained} in {precision} with {training.optimizer}, {sharding}: "
        f"{gigabytes(states)} GB per GPU"
    )
    return states, text


def activation_bytes_per_sample(workload: Workload, placement: Placement, seq_len: int) -> Range:
    """Return the bytes that one sample of the micro-batch adds, in a transformer of so many parameters."""
    training = workload.training
    layers, hidden = layers_and_hidden(workload.architecture) or (1.0, 1.0)
    shared = training.tensor_parallel * training.context_parallel * training.sequence_parallel
    wide = 2 if placement.precision in (Precision.FP32, Precision.TF32) else 1

    def added(q: str) -> float:
        layer = getattr(ACTIVATION_BYTES, q)
        # With recomputation, the activations of one layer at a time are kept whole.
        per_hidden = RECOMPUTED_ACTIVATION_BYTES * layers + layer if training.recompute else layer * layers
        return float(seq_len * (per_hidden * hidden * wide + getattr(LOGIT_BYTES, q)) / shared)

    return Range(added("p10"), added("p50"), added("p90"))


def gigabytes(amount: Range) -> str:
    """Return P10 to P90 in GB."""
    low, high = (format_significant(x / 1e9, 2) for x in (amount.p10, amount.p90))
    return low if low == high else f"{low} to {high}"
