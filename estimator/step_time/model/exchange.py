"""The exchange of gradients over the links between GPUs: what it takes as a rule, and at least."""

from dataclasses import dataclass

from ...job.shape import Shape

USUAL_SHARE = 0.8  # of the rate of NVLink and InfiniBand that NCCL reaches
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
    intra_share: float = USUAL_SHARE
    inter_share: float = USUAL_SHARE

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
