"""What a step time belongs to: the shape of a job, and the links that its GPUs exchange gradients over."""

from dataclasses import dataclass

from ...cluster_profiles.precision import Precision


@dataclass(frozen=True)
class Query:
    """The shape of a job, as far as the step time depends on it; None is not known."""

    gpu: str | None
    nodes: int
    gpus: int
    gpus_per_node: int
    batch_size: int
    accumulation: int = 1
    precision: Precision = Precision.AUTO
    seq_len: int | None = None


@dataclass(frozen=True)
class Links:
    """What is known of the exchange of gradients; bandwidths are of one GPU, one direction."""

    gradient_bytes: float | None = None
    bandwidth_intra_bytes_s: float | None = None
    bandwidth_inter_bytes_s: float | None = None

    def ring_s(self, bandwidth: float | None) -> float | None:
        """A ring over two: 2 (2 - 1) / 2 of the gradient over the link."""
        return self.gradient_bytes / bandwidth if self.gradient_bytes and bandwidth else None

    def least_s(self, query: Query) -> float:
        """No exchange is faster: 2 (n - 1) / n of the gradient; the GPUs of a node share it between nodes."""
        n, each = query.gpus_per_node, self.ring_s(self.bandwidth_intra_bytes_s)
        if query.nodes > 1:
            n, each = query.nodes, self.ring_s(self.bandwidth_inter_bytes_s)
            each = each and each / query.gpus_per_node
        return 2 * (n - 1) / n * (each or 0.0)
