"""The links of a job's partition, and the gradients that it exchanges over them."""

from collections.abc import Sequence

from ...cluster_profiles.precision import Precision
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from .model.exchange import USUAL_SHARE, Links

_GIGA = 1e9
_FP32 = (Precision.FP32, Precision.TF32)
# Gradients per parameter: DeepSpeed exchanges 16 bit, torch under autocast and Megatron-LM by default 32 bit.
_GRADIENT_BYTES, _LEAST_GRADIENT_BYTES, _FP32_BYTES = 3, 2, 4
_WEIGHT_BYTES, _SHARDED_WEIGHTS = 2, 3
# Over TCP, and through the memory of the host, NCCL reaches half of the rate.
_SHARES = {"ethernet": 0.5, "pcie": 0.5}


def links_of_job(workload: Workload, placement: Placement, runs: Sequence[Measurement]) -> Links:
    """Return the links of the job's partition; empty where they are not known, or where a run beat them.

    A run that is faster than the links allow exchanges less than that: the links or the parameters are others.
    """
    parameters, partition = workload.architecture.parameters, placement.partition
    if parameters is None or partition is None:
        return Links()
    intra, inter = partition.intra_node, partition.inter_node
    trained = workload.architecture.trainable_parameters or parameters
    most, least = (
        (_FP32_BYTES,) * 2 if placement.precision in _FP32 else (_GRADIENT_BYTES, _LEAST_GRADIENT_BYTES)
    )
    usual = float(trained * most)
    if (
        workload.training.zero_stage == _SHARDED_WEIGHTS
    ):  # gathers all weights twice, and scatters the gradients
        bits = workload.architecture.base_bits
        weight_bytes = bits / 8 if bits else max(_WEIGHT_BYTES, least)
        usual = (2 * parameters * weight_bytes + usual) / 3
    links = Links(
        usual,
        intra.gb_per_s * _GIGA if intra else None,
        inter.gb_per_s * _GIGA if inter else None,
        trained * least,
        _SHARES.get(intra.kind if intra else "", USUAL_SHARE),
        _SHARES.get(inter.kind if inter else "", USUAL_SHARE),
    )
    return Links() if any(m.step_time_s < links.least_s(m.shape) for m in runs) else links
