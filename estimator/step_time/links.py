"""The links that the GPUs of a job exchange gradients over, and the least time that takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...cluster_profiles.precision import Precision
from ..job.placement import Placement
from ..job.shape import Shape
from ..job.workload import Workload
from ..measurements.measurement import Measurement

_GIGA = 1e9
_GRADIENT_BYTES = {Precision.FP32: 4, Precision.TF32: 4}  # per parameter; in other precisions 2, the least
_LEAST_GRADIENT_BYTES = 2


@dataclass(frozen=True)
class Links:
    """The gradient of one replica in bytes, and bandwidths per GPU in one direction in bytes/s; None is not known."""

    gradient_bytes: float | None = None
    bandwidth_intra_bytes_s: float | None = None
    bandwidth_inter_bytes_s: float | None = None

    @property
    def pair_intra_s(self) -> float | None:
        """Return the seconds of an all-reduce over two GPUs of a node, at the link's full rate."""
        return self._pair_s(self.bandwidth_intra_bytes_s)

    @property
    def pair_inter_s(self) -> float | None:
        """Return the seconds of an all-reduce over two nodes, at the rate of one GPU's link."""
        return self._pair_s(self.bandwidth_inter_bytes_s)

    def _pair_s(self, bandwidth_bytes_s: float | None) -> float | None:
        """A ring over n moves 2 (n - 1) / n of the gradient over each link: over two, once the gradient."""
        return self.gradient_bytes / bandwidth_bytes_s if self.gradient_bytes and bandwidth_bytes_s else None

    def least_s(self, shape: Shape) -> float:
        """Return the seconds that no exchange of gradients is faster than; 0 where nothing is known.

        A ring over n moves 2 (n - 1) / n of the gradient; between nodes, the GPUs of a node share it.
        """
        n, pair_s = shape.gpus_per_node, self.pair_intra_s
        if shape.nodes > 1:
            n, pair_s = shape.nodes, self.pair_inter_s
            pair_s = pair_s and pair_s / shape.gpus_per_node
        return 2 * (n - 1) / n * (pair_s or 0.0)


def links_of_job(workload: Workload, placement: Placement, runs: Sequence[Measurement]) -> Links:
    """Return the links of the job's partition; empty where they are not known, or where a run beat them.

    A run that is faster than the links allow exchanges less than all parameters: part of the model is frozen.
    """
    parameters, partition = workload.architecture.parameters, placement.partition
    if parameters is None or partition is None:
        return Links()
    intra, inter = partition.intra_node, partition.inter_node
    parameter_bytes = _GRADIENT_BYTES.get(placement.precision, _LEAST_GRADIENT_BYTES)
    links = Links(
        parameters * parameter_bytes / workload.training.model_parallel,
        intra.gb_per_s * _GIGA if intra else None,
        inter.gb_per_s * _GIGA if inter else None,
    )
    return Links() if any(m.step_time_s < links.least_s(m.shape) for m in runs) else links
