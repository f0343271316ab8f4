"""The links that the GPUs of a job exchange gradients over."""

from dataclasses import dataclass

from ..job.shape import Shape


@dataclass(frozen=True)
class Links:
    """What is known of the exchange of gradients; bandwidths are of one GPU, one direction."""

    gradient_bytes: float | None = None
    bandwidth_intra_bytes_s: float | None = None
    bandwidth_inter_bytes_s: float | None = None

    def ring_s(self, bandwidth: float | None) -> float | None:
        """A ring over two: 2 (2 - 1) / 2 of the gradient over the link."""
        return self.gradient_bytes / bandwidth if self.gradient_bytes and bandwidth else None

    def least_s(self, shape: Shape) -> float:
        """No exchange is faster: 2 (n - 1) / n of the gradient; the GPUs of a node share it between nodes."""
        n, each = shape.gpus_per_node, self.ring_s(self.bandwidth_intra_bytes_s)
        if shape.nodes > 1:
            n, each = shape.nodes, self.ring_s(self.bandwidth_inter_bytes_s)
            each = each and each / shape.gpus_per_node
        return 2 * (n - 1) / n * (each or 0.0)
