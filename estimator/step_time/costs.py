"""What a micro-batch costs by the size of the model: its FLOPs at the peak of a GPU, and the cost beside them."""

from ...cluster_profiles.gpu import Gpu
from ..job.flops import flops_per_sample_at, layers_and_hidden
from ..job.placement import Placement
from ..job.shape import Shape
from ..job.workload import Workload
from ..priors import DEQUANTISING, LAYER_S
from ..ranges import Range
from .model.costs import Costs


def beside_flops_s(workload: Workload, gpu: Gpu | None) -> Range:
    """Return the seconds of a micro-batch that do not follow from its FLOPs, on one of the GPUs that share a replica.

    Each micro-batch starts all layers of a GPU, and each pass writes its quantised weights in 16 bit.
    """
    training, architecture = workload.training, workload.architecture
    layers, _ = layers_and_hidden(architecture) or (0.0, 0.0)
    seconds = LAYER_S.scaled(layers / training.pipeline_parallel)
    if architecture.base_bits and gpu:
        split = training.tensor_parallel * training.pipeline_parallel
        weights = (architecture.flops_parameters or 0) / split
        moved = weights * (1 - architecture.trained_share) * (architecture.base_bits / 8 + 2)
        passes = (
            3 if training.recompute is True else 2
        )  # forward, again, and for the gradients of activations
        seconds = seconds.plus(DEQUANTISING.scaled(passes * moved / gpu.bandwidth_bytes_per_s))
    return seconds


def costs_of_job(workload: Workload, placement: Placement, shape: Shape) -> Costs:
    """Return what the size of the model tells of the step time in `shape`; nothing where it is not known."""
    gpu, tokens = placement.gpu, shape.seq_len
    flops = flops_per_sample_at(workload, tokens, 0.0) if tokens else None
    peak = gpu.peak_flops.get(shape.precision) if gpu and gpu.key == shape.gpu else None
    beside = beside_flops_s(workload, gpu).scaled(workload.training.pipeline_parallel)
    return Costs(
        token_s_at_peak=flops / tokens / peak if flops and tokens and peak else None,
        fixed_s=(beside.p10, beside.p50, beside.p90) if beside.p10 else None,
    )
