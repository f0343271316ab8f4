"""The links that the GPUs of a job exchange gradients over, and the least time that takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...cluster_profiles.precision import Precision
from ..job.placement import Placement
from ..job.shape import Shape
from ..job.workload import Workload
from ..measurements.measurement import Measurement

_GIGA = 1e9
_FP32 = (Precision.FP32, Precision.TF32)
# Gradients per parameter: DeepSpeed exchanges 16 bit, torch under autocast and Megatron-LM by default 32 bit.
_GRADIENT_BYTES, _LEAST_GRADIENT_BYTES, _FP32_BYTES = 3, 2, 4
# NCCL reaches about four fifths of the rate of NVLink and InfiniBand; over TCP, and through the memory of the host,
# half.
_USUAL_SHARE, _SHARES = 0.8, {"ethernet": 0.5, "pcie": 0.5}
_SHARDED_WEIGHTS = 3  # the ZeRO stage that gathers the weights in each micro-batch


@dataclass(frozen=True)
class Links:
    """The gradient of one replica in bytes, and bandwidths per GPU in one direction in bytes/s; None is not known.

    `least_gradient_bytes` are those that no software goes below.  `intra_share` and `inter_share` are the parts of the
    bandwidths that an exchange reaches as a rule.
    """

    gradient_bytes: float | None = None
    bandwidth_intra_bytes_s: float | None = None
    bandwidth_inter_bytes_s: float | None = None
    least_gradient_bytes: float | None = None
    intra_share: float = _USUAL_SHARE
    inter_share: float = _USUAL_SHARE

    @property
    def pair_intra_s(self) -> float | None:
        """Return the seconds of an all-reduce over two GPUs of a node, at the rate that it reaches as a rule."""
        return self._pair_s(self.bandwidth_intra_bytes_s, self.intra_share)

    @property
    def pair_inter_s(self) -> float | None:
        """Return the seconds of an all-reduce over two nodes, at the rate that one GPU's link reaches as a rule."""
        return self._pair_s(self.bandwidth_inter_bytes_s, self.inter_share)

    def _pair_s(self, bandwidth_bytes_s: float | None, share: float) -> float | None:
        """A ring over n moves 2 (n - 1) / n of the gradient over each link: over two, once the gradient."""
        if not (self.gradient_bytes and bandwidth_bytes_s):
            return None
        return self.gradient_bytes / (bandwidth_bytes_s * share)

    def least_s(self, shape: Shape) -> float:
        """Return the seconds that no exchange is faster than; 0 where nothing is known.

        A ring over n moves 2 (n - 1) / n of the gradient; between nodes, the GPUs of a node share it.  ZeRO stage 3
        moves half of that for each micro-batch at least, to gather the weights, and half at the end.
        """
        layout, bandwidth = shape.layout, self.bandwidth_intra_bytes_s
        split = layout.tensor_parallel * layout.pipeline_parallel
        gradient_bytes = (self.least_gradient_bytes or self.gradient_bytes or 0.0) / split
        replicas = shape.gpus / split
        peers = min(max(shape.gpus / shape.nodes / layout.tensor_parallel, 1.0), replicas)
        n = peers
        if replicas > peers:  # between nodes
            n, bandwidth = replicas / peers, self.bandwidth_inter_bytes_s
            gradient_bytes /= peers
        exchanges = (shape.accumulation + 1) / 2 if shape.zero_stage == _SHARDED_WEIGHTS else 1
        return exchanges * 2 * (n - 1) / n * gradient_bytes / bandwidth if bandwidth else 0.0


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
    links = Links(
        trained * most,
        intra.gb_per_s * _GIGA if intra else None,
        inter.gb_per_s * _GIGA if inter else None,
        trained * least,
        _SHARES.get(intra.kind if intra else "", _USUAL_SHARE),
        _SHARES.get(inter.kind if inter else "", _USUAL_SHARE),
    )
    return Links() if any(m.step_time_s < links.least_s(m.shape) for m in runs) else links
