"""Shapes as the arrays that the formula takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ...job.shape import Shape
from ...measurements.measurement import Measurement
from .parameters import Array, Parameter

USUAL_HIDDEN_SIZE = 4096.0  # of a language model of 7B parameters, where the size is not known
# Exchanges of all gradients: in each micro-batch but the last, and in the last, by ZeRO stage.
_EXCHANGES = {2: (0.5, 1.0), 3: (1.5, 1.5)}


@dataclass(frozen=True)
class Points:
    """Several shapes as arrays of one length; the letters are those of `formula`."""

    nodes: Array  # N
    gpus: Array  # G
    batch_size: Array  # b
    accumulation: Array  # a
    tensor: Array  # t
    pipeline: Array  # p
    tokens: Array  # S, 1 where it is not known
    log_work: Array  # log w without attention
    attention: Array  # S / (6 h), 0 where S is not known
    peers: Array  # g
    groups: Array  # n
    exchanges: Array  # y
    exchanges_last: Array  # z
    hidden_size: float = field(kw_only=True)  # h

    def __len__(self) -> int:
        return len(self.nodes)

    @cached_property
    def gpus_per_node(self) -> Array:
        """Return the GPUs per node, the mean over the nodes."""
        return self.gpus / self.nodes

    @cached_property
    def replica_gpus(self) -> Array:
        """Return t p."""
        return self.tensor * self.pipeline

    @cached_property
    def terms(self) -> frozenset[str]:
        """Return the names of the arrays that are not the same for all shapes of one GPU: the terms of the formula."""
        least = {
            "gpus": 1,
            "peers": 1,
            "groups": 1,
            "tensor": 1,
            "pipeline": 1,
            "attention": 0,
            "accumulation": 1,
        }
        return frozenset(name for name, value in least.items() if np.any(getattr(self, name) > value))

    @cached_property
    def logs(self) -> dict[str, Array]:
        """Return the logarithms that the formula needs again and again."""
        return {
            "gpus": np.log(self.gpus),
            "peers": np.log(self.peers),
            "other peers": np.log(np.maximum(self.peers - 1, 1)),
            "groups": np.log(self.groups / 2),
            "tensor": np.log(self.tensor),
            "replica": np.log(self.replica_gpus),
            "last": np.log(self.exchanges_last),
            "each": np.log(np.maximum(self.exchanges, 1e-30)),
        }

    @cached_property
    def informed(self) -> list[int]:
        """Return the parameters on which the step times of these points depend."""
        of_terms = {
            "peers": (Parameter.LOG_INTRA, Parameter.INTRA_GPUS),
            "groups": (Parameter.LOG_INTER, Parameter.INTER_NODES, Parameter.INTER_GPUS),
            "gpus": (Parameter.STRAGGLING, Parameter.LOG_OVERLAP),
            "tensor": (Parameter.LOG_TENSOR, Parameter.LOG_TENSOR_LAUNCH),
            "attention": (Parameter.LOG_ATTENTION,),
            "pipeline": (Parameter.LOG_BUBBLE, Parameter.LOG_HAND_OFF),
        }
        always = (
            Parameter.LOG_COMPUTE,
            Parameter.LOG_FIXED,
            Parameter.LOG_PER_STEP,
            Parameter.LOG_SHARPNESS,
        )
        informed = {*always, *(p for term, ps in of_terms.items() if term in self.terms for p in ps)}
        return sorted(map(int, informed))


def points_of(shapes: Sequence[Shape | Measurement], hidden_size: float | None = None) -> Points:
    """Return the shapes as points of the step model, in their order; the hidden size is that of the model."""
    hidden = hidden_size or USUAL_HIDDEN_SIZE
    rows = []
    for s in shapes:
        layout = (s if isinstance(s, Shape) else s.shape).layout
        tokens = float(s.seq_len or 1)
        each = s.gpus / s.nodes
        replicas = s.gpus / (layout.tensor_parallel * layout.pipeline_parallel)
        peers = min(max(each / layout.tensor_parallel, 1.0), max(replicas, 1.0))
        exchanges = _EXCHANGES.get(s.zero_stage or 0, (0.0, 1.0))
        rows.append(
            (
                s.nodes,
                s.gpus,
                s.batch_size,
                s.accumulation,
                layout.tensor_parallel,
                layout.pipeline_parallel,
                tokens,
                math.log(s.batch_size / layout.context_parallel * tokens),
                tokens / (6 * hidden) if s.seq_len else 0.0,
                peers,
                max(replicas / peers, 1.0),
                *exchanges,
            )
        )
    columns = np.array(rows, float).reshape(-1, 13).T
    return Points(*columns, hidden_size=hidden)
