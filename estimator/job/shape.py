"""The shape of a job: all that its step time depends on, except the model and the cluster."""

from dataclasses import dataclass
from typing import NamedTuple

from ...cluster_profiles.precision import Precision

_MOST_TENSOR_PARALLEL = 8


class Layout(NamedTuple):
    """How one replica is split over GPUs: each layer, the layers among them, and each sequence."""

    tensor_parallel: int
    pipeline_parallel: int
    context_parallel: int


@dataclass(frozen=True)
class Shape:
    """How many GPUs train together, and on how many samples per step; None is not known.

    `gpus` are those in all, `gpus_per_node` those of the fullest node, `batch_size` is the micro-batch of one GPU,
    `accumulation` the micro-batches per step, `model_parallel` the GPUs that hold one replica, `seq_len` the tokens
    per sample.  `tensor_parallel` GPUs share each layer, and `pipeline_parallel` split the layers; where their product
    is `model_parallel` the one that is not known is 1.  `zero_stage` 3 is FSDP too.

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
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    zero_stage: int | None = None

    def __post_init__(self) -> None:
        tensor, pipeline = self.tensor_parallel or 1, self.pipeline_parallel or 1
        if tensor * pipeline == self.model_parallel:  # nothing is left for the part that is not known
            object.__setattr__(self, "tensor_parallel", tensor)
            object.__setattr__(self, "pipeline_parallel", pipeline)

    @property
    def step_samples(self) -> float:
        """Return the global batch: micro-batch x replicas x accumulation, in samples."""
        return self.batch_size * self.gpus / self.model_parallel * self.accumulation

    @property
    def is_split_evenly(self) -> bool:
        """Return whether tensor x pipeline parallel, as far as they are known, divides `model_parallel`."""
        split = (self.tensor_parallel or 1) * (self.pipeline_parallel or 1)
        return self.model_parallel % split == 0

    @property
    def layout(self) -> Layout:
        """Return the split of one replica: tensor x pipeline x context parallel is `model_parallel`.

        Where tensor parallelism is not known, it is the most that divides the replica, up to 8, and where pipeline
        parallelism is not known, it takes the rest: so Narayanan et al. advise for nodes of 8 GPUs ("Efficient
        Large-Scale Language Model Training on GPU Clusters", SC'21, section 3).  Racks of NVLink do so with nodes of 4.

        >>> Shape(None, nodes=6, gpus=48, gpus_per_node=8, batch_size=1, model_parallel=48).layout
        Layout(tensor_parallel=8, pipeline_parallel=6, context_parallel=1)
        >>> Shape(None, 1, 8, 8, 1, model_parallel=8, tensor_parallel=2, pipeline_parallel=1).layout
        Layout(tensor_parallel=2, pipeline_parallel=1, context_parallel=4)
        """
        tensor, pipeline = self.tensor_parallel, self.pipeline_parallel
        if tensor is None:
            split = self.model_parallel // (pipeline or 1)
            tensor = next(n for n in range(min(split, _MOST_TENSOR_PARALLEL), 0, -1) if split % n == 0)
        if pipeline is None:
            pipeline = self.model_parallel // tensor
        return Layout(tensor, pipeline, self.model_parallel // (tensor * pipeline))
