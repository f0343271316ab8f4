"""The time of one optimizer step by physics.

A replica holds a model split over t tensor-, p pipeline- and c context-parallel GPUs; there are G GPUs on N nodes, b
samples per micro-batch, a micro-batches per step, S tokens per sample, and h is the hidden size.  COMPUTE is
e^LOG_COMPUTE of `Parameter`, and so on; all times are in seconds.

    work of a micro-batch   w = b S (1 + ATTENTION S / (6 h)) / c      b / c where S is not known
    compute                 A = COMPUTE w / r                  on one GPU; r is a reference work
    a micro-batch           m = ((FIXED k)^q + (A / t)^q)^(1/q) + A TENSOR 2 (t - 1) / t (4096 / h)
                            times (1 + HAND_OFF log2 p) G^STRAGGLING
                            k = 1 + TENSOR_LAUNCH log2 t,  q = 1 + SHARPNESS
    exchange                e = [INTRA (g - 1)^INTRA_GPUS  if g > 1  +  INTER (n / 2)^INTER_NODES g^INTER_GPUS  if n > 1] / (t p)
                            g data-parallel peers in a node, n groups of them on other nodes
    step                    T = first (a - 1) / p + last (1 + BUBBLE (p - 1)) / p + PER_STEP / (t p)
                            last = (m^o + (z e)^o)^(1/o),  first = (m^o + (y e)^o)^(1/o),  o = 1 + OVERLAP

The last micro-batch exchanges all gradients (z = 1) and the others nothing (y = 0), but ZeRO stage 2 scatters the
gradients of each (y = 1/2), and stage 3, as FSDP, gathers the weights twice besides (y = z = 3/2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...job.shape import Shape
from ...measurements.measurement import Measurement

Array = NDArray[np.float64]
USUAL_HIDDEN_SIZE = 4096.0  # of a language model of 7B parameters, where the size is not known
# Exchanges of all gradients: in each micro-batch but the last, and in the last, by ZeRO stage.
_EXCHANGES = {2: (0.5, 1.0), 3: (1.5, 1.5)}


class Parameter(IntEnum):
    """The parameters of the step model, by their place in the last axis of an array."""

    LOG_COMPUTE = 0  # seconds of the reference work on one GPU
    LOG_FIXED = 1  # seconds of a micro-batch that do not shrink with it: kernel launches
    LOG_PER_STEP = 2  # seconds of a step beside its micro-batches: the optimizer
    LOG_SHARPNESS = 3  # how sharply the fixed cost gives way to the work
    LOG_INTRA = 4  # seconds of an exchange between two GPUs of a node
    INTRA_GPUS = 5  # how that grows with the GPUs of the node
    LOG_INTER = 6  # seconds of an exchange between two nodes
    INTER_NODES = 7  # how that grows with the nodes
    INTER_GPUS = 8  # ... with the GPUs per node, which share a card (+) or bring cards of their own (-)
    STRAGGLING = 9  # how compute grows with the GPUs, as a step waits for the slowest
    LOG_OVERLAP = 10  # how far an exchange hides behind compute
    LOG_TENSOR = 11  # traffic of tensor parallelism, as a share of compute
    LOG_TENSOR_LAUNCH = 12  # its latency, as a share of the fixed cost
    LOG_BUBBLE = 13  # share of the textbook's pipeline bubble; interleaved schedules have less
    LOG_HAND_OFF = 14  # cost of handing activations from stage to stage
    LOG_ATTENTION = 15  # cost of a FLOP of attention over that of a FLOP of the weights


LOWEST = np.array([-14, -12, -14, -7, -16, 0, -16, -0.3, -1, -0.02, -7, -9, -9, -5, -12, -3])
HIGHEST = np.array([9, 4, 4, 2.5, 6, 2.5, 6, 1.5, 1.5, 0.3, 2.5, 3, 3, 0.7, 2, 3])


@dataclass(frozen=True)
class Points:
    """Several shapes as arrays of one length; the letters are those of the module's formula."""

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

    @property
    def gpus_per_node(self) -> Array:
        """Return the GPUs per node, the mean over the nodes."""
        return self.gpus / self.nodes

    @property
    def informed(self) -> list[int]:
        """Return the parameters on which the step times of these points depend."""
        terms = (
            (True, (Parameter.LOG_COMPUTE, Parameter.LOG_FIXED, Parameter.LOG_PER_STEP)),
            (True, (Parameter.LOG_SHARPNESS,)),
            (self.peers > 1, (Parameter.LOG_INTRA, Parameter.INTRA_GPUS)),
            (self.groups > 1, (Parameter.LOG_INTER, Parameter.INTER_NODES, Parameter.INTER_GPUS)),
            (self.gpus > 1, (Parameter.STRAGGLING, Parameter.LOG_OVERLAP)),
            (self.tensor > 1, (Parameter.LOG_TENSOR, Parameter.LOG_TENSOR_LAUNCH)),
            (self.attention > 0, (Parameter.LOG_ATTENTION,)),
            (self.pipeline > 1, (Parameter.LOG_BUBBLE, Parameter.LOG_HAND_OFF)),
        )
        return sorted(int(p) for where, parameters in terms if np.any(where) for p in parameters)


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


def log_time(phi: Array, at: Points, log_reference: float) -> Array:
    """Return log T of parameters `phi` (..., 16) at n points: (..., n)."""
    return _terms(phi, at, log_reference)[0]


def network_share(phi: Array, at: Points, log_reference: float) -> Array:
    """Return d log T / d log e of parameters `phi` (..., 16) at n points: (..., n)."""
    return _terms(np.clip(phi, LOWEST, HIGHEST), at, log_reference)[1]


def log_time_slopes(phi: Array, at: Points, log_reference: float) -> tuple[Array, Array]:
    """Return log T (m, n) of parameters `phi` (m, 16), and its derivatives (m, n, 16) by one-sided differences."""
    step, informed = 1e-4, at.informed
    moved = phi[:, None] + step * np.eye(len(Parameter))[informed]
    log_t = log_time(np.concatenate([phi[:, None], moved], 1), at, log_reference)
    slopes = np.zeros((*log_t[:, 0].shape, len(Parameter)))
    slopes[..., informed] = np.swapaxes(log_t[:, 1:] - log_t[:, :1], -1, -2) / step
    return log_t[:, 0], slopes


def _terms(phi: Array, at: Points, log_reference: float) -> tuple[Array, Array]:
    """Log T and d log T / d log e.  Terms that no point has are left out: they cost most of the time."""

    def value(parameter: Parameter) -> Any:
        return phi[..., parameter, None]

    log_compute = value(Parameter.LOG_COMPUTE) + (at.log_work - log_reference)
    if np.any(at.attention > 0):
        log_compute = log_compute + np.log1p(np.exp(value(Parameter.LOG_ATTENTION)) * at.attention)
    sharpness = 1 + np.exp(value(Parameter.LOG_SHARPNESS))
    growth = np.exp(value(Parameter.STRAGGLING) * np.log(at.gpus))
    if np.any(at.tensor > 1):
        launches = np.log1p(np.exp(value(Parameter.LOG_TENSOR_LAUNCH)) * np.log2(at.tensor))
        traffic = 2 * (at.tensor - 1) / at.tensor * USUAL_HIDDEN_SIZE / at.hidden_size
        fixed, work = value(Parameter.LOG_FIXED) + launches, log_compute - np.log(at.tensor)
        micro_batch = np.exp(_log_norm(sharpness, fixed, work))
        micro_batch = micro_batch + np.exp(log_compute + value(Parameter.LOG_TENSOR)) * traffic
    else:
        micro_batch = np.exp(_log_norm(sharpness, value(Parameter.LOG_FIXED), log_compute))
    bubble: Any = 1.0
    if np.any(at.pipeline > 1):
        growth = growth * (1 + np.exp(value(Parameter.LOG_HAND_OFF)) * np.log2(at.pipeline)) / at.pipeline
        bubble = 1 + np.exp(value(Parameter.LOG_BUBBLE)) * (at.pipeline - 1)
    log_last = np.log(micro_batch * growth)
    per_step = np.exp(value(Parameter.LOG_PER_STEP)) / (at.tensor * at.pipeline)
    log_exchange = _log_exchange(value, at)
    if log_exchange is None:
        log_t = np.log(np.exp(log_last) * (at.accumulation - 1 + bubble) + per_step)
        return log_t, np.zeros_like(log_t)
    overlap = 1 + np.exp(value(Parameter.LOG_OVERLAP))
    log_end = _log_norm(overlap, log_last + np.log(bubble), log_exchange + np.log(at.exchanges_last))
    end = np.exp(log_end)
    slope = end * np.exp(overlap * (log_exchange + np.log(at.exchanges_last) - log_end))
    if np.any((at.accumulation > 1) & (at.exchanges > 0)):
        log_each = log_exchange + np.log(np.maximum(at.exchanges, 1e-30))
        log_pass = _log_norm(overlap, log_last, log_each)
        passes = np.exp(log_pass) * (at.accumulation - 1)
        slope = slope + passes * np.exp(overlap * (log_each - log_pass))
    else:
        passes = np.exp(log_last) * (at.accumulation - 1)
    time = end + passes + per_step
    return np.log(time), slope / time


def _log_exchange(value: Any, at: Points) -> Array | None:
    """The logarithm of e; None where no point has peers."""
    exchange: Any = 1e-30
    if np.any(at.peers > 1):
        log_peers = np.log(np.maximum(at.peers - 1, 1))
        within = np.exp(value(Parameter.LOG_INTRA) + value(Parameter.INTRA_GPUS) * log_peers)
        exchange = exchange + np.where(at.peers > 1, within, 0)
    if np.any(at.groups > 1):
        between = np.exp(
            value(Parameter.LOG_INTER)
            + value(Parameter.INTER_NODES) * np.log(at.groups / 2)
            + value(Parameter.INTER_GPUS) * np.log(at.peers)
        )
        exchange = exchange + np.where(at.groups > 1, between, 0)
    if isinstance(exchange, float):
        return None
    log_exchange: Array = np.log(exchange / (at.tensor * at.pipeline))
    return log_exchange


def _log_norm(power: Any, x: Any, y: Any) -> Any:
    """log (e^(power x) + e^(power y))^(1 / power): about the larger of two times."""
    return np.maximum(x, y) + np.log1p(np.exp(-power * np.abs(x - y))) / power
