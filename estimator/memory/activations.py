"""Activations in one GPU, as in a transformer with as many parameters."""

from ..job import flops
from ..job.placement import Placement
from ..job.training import Offload
from ..job.workload import Workload
from ..ranges import Range
from .priors import (
    ACTIVATION_BYTES,
    FUSED_ACTIVATION_BYTES,
    FUSED_FROM,
    GATHERED_INPUT_BYTES,
    LOGIT_BYTES,
    OFFLOADED_LAYERS,
    RECOMPUTED_BYTES,
    SELECTIVE_BYTES,
    VOCABULARY,
    WIDE,
)


def layers_and_hidden(workload: Workload) -> tuple[float, float]:
    """Return the layers and the hidden size of a model whose parameters are stated."""
    return flops.layers_and_hidden(workload.architecture) or (1.0, 1.0)


def words(workload: Workload) -> Range:
    """Return the words of the vocabulary."""
    stated = workload.architecture.vocabulary
    return Range.exactly(stated) if stated else VOCABULARY


def activation_bytes_per_sample(workload: Workload, placement: Placement, seq_len: int) -> Range:
    """Return the bytes that one sample of the micro-batch adds.

    Tensor parallelism is that of Megatron with its sequence parallelism: it divides all activations (arXiv:2205.05198,
    table 2).  The first stage of a pipeline holds as many micro-batches as there are stages, each of its own layers:
    all layers of one sample, or fewer where a step has fewer micro-batches.
    """
    training = workload.training
    layers, hidden = layers_and_hidden(workload)
    split = training.tensor_parallel * training.context_parallel * training.sequence_parallel
    in_flight = min(training.accumulation / training.pipeline_parallel, 1.0)
    wide = 2 if placement.precision in WIDE else 1
    fused = wide == 1 and placement.gpu and (placement.gpu.compute_capability or FUSED_FROM) >= FUSED_FROM
    layer = FUSED_ACTIVATION_BYTES if fused else ACTIVATION_BYTES

    def added(q: str) -> float:
        whole, selective = getattr(layer, q), getattr(SELECTIVE_BYTES, q)
        stored = layers * in_flight
        if Offload.ACTIVATIONS in training.offload:
            stored = min(getattr(OFFLOADED_LAYERS, q), stored)
        per_hidden = {
            # The layer that is recomputed is whole.
            True: RECOMPUTED_BYTES * stored + whole,
            "selective": selective * stored,
            False: whole * stored,
        }[training.recompute]
        per_hidden += getattr(GATHERED_INPUT_BYTES, q) * (training.tensor_parallel - 1)
        logits = getattr(LOGIT_BYTES, q) * getattr(words(workload), q)
        return float(seq_len * (per_hidden * hidden * wide + logits) / split)

    return Range(added("p10"), added("p50"), added("p90"))
