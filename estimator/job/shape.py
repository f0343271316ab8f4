"""The shape of a job: all that its step time depends on, except the model and the cluster."""

from dataclasses import dataclass

from ...cluster_profiles.precision import Precision


@dataclass(frozen=True)
class Shape:
    """How many GPUs train together, and on how many samples per step; None is not known.

    `gpus` are those in all, `gpus_per_node` those of the fullest node, `batch_size` is the micro-batch of one GPU,
    `accumulation` the micro-batches per step, `model_parallel` the GPUs that hold one replica, `seq_len` the tokens
    per sample.

    >>> Shape("a100-sxm4-80gb", nodes=2, gpus=16, gpus_per_node=8, batch_size=4, accumulation=8).step_samples
    512.0
    """

    gpu: str | None
    nodes: int
    gpus: int
    gpus_per_node: int
    batch_size: int
    accumulation: int = 1
    model_parallel: int = 1
    precision: Precision = Precision.AUTO
    seq_len: int | None = None

    @property
    def step_samples(self) -> float:
        """Return the global batch: micro-batch x replicas x accumulation, in samples."""
        return self.batch_size * self.gpus / self.model_parallel * self.accumulation
