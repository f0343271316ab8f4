"""The step time of a synchronous data-parallel job by physics, and the belief in its parameters before any run.

b micro-batch per GPU, a micro-batches per step, g GPUs per node, N nodes, r a reference micro-batch; COMPUTE is
e^LOG_COMPUTE of `Parameter`, and so on:

    Tc   = COMPUTE ((b0^q + b^q) / (b0^q + r^q))^(1/q) (N g)^STRAGGLING          b0 = r FIXED_BATCH
    Tnet = INTRA (g - 1)^INTRA_GPUS  if g > 1   +   INTER (N / 2)^INTER_NODES g^INTER_GPUS  if N > 1
    T    = (a - 1) Tc + (Tc^c + Tnet^c)^(1/c)                                     in seconds

b0 is the batch whose work takes as long as the fixed cost of a step, and q = 1 + SHARPNESS says how sharply one gives
way to the other.  The last micro-batch hides the all-reduce as far as the exponent c = 1 + OVERLAP says.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Parameter(IntEnum):
    """The parameters of the step model, by their place in the last axis of an array."""

    LOG_COMPUTE = 0  # log of the seconds that one GPU computes on a micro-batch of r: the scale of Tc
    LOG_FIXED_BATCH = 1  # log of b0 / r, without unit: the fixed cost of a step, as samples of work
    LOG_INTRA = (
        2  # log of the seconds of an all-reduce between two GPUs of one node: the scale of Tnet in a node
    )
    INTRA_GPUS = 3  # exponent of g - 1: how Tnet grows with the GPUs of a node
    LOG_INTER = (
        4  # log of the seconds of an all-reduce between two nodes of one GPU: the scale of Tnet between them
    )
    INTER_NODES = 5  # exponent of N / 2: how that grows with the nodes
    INTER_GPUS = 6  # exponent of g: how that grows with the GPUs per node, which share its link
    STRAGGLING = 7  # exponent of N g: how Tc grows, as each step waits for the slowest GPU
    LOG_SHARPNESS = 8  # log of q - 1, without unit: how sharply the fixed cost gives way to the work
    LOG_OVERLAP = 9  # log of c - 1, without unit: how far the all-reduce hides behind the last micro-batch


# No exponent is negative: neither more GPUs, nor more nodes, nor a larger batch make T shorter.
LOWEST = np.array([-9, -6, -14, 0, -14, 0, 0, 0, -7, -7.0])
HIGHEST = np.array([6, 4, 5, 3, 5, 2, 2, 0.3, 2.5, 2.5])

# Independent beliefs; round numbers that 38 published series bear out (Pollux, OSDI 2021; Sia, SOSP 2023;
# Gavel, OSDI 2020).  Three of them are relative to others: the fixed cost is a time, whatever the work; models of
# longer steps have more to exchange, but not in proportion; the exchange between nodes is relative to that in a node.
_MEAN = np.array([-1, -2.2, -3.25, 0.5, 0.75, 0.1, 0.05, 0.02, -1.5, -0.25])
_SD = np.array([2.5, 1.1, 1.8, 0.3, 1.2, 0.2, 0.2, 0.02, 0.7, 1.0])
_RELATIVE = np.eye(len(Parameter))
_RELATIVE[Parameter.LOG_FIXED_BATCH, Parameter.LOG_COMPUTE] = -1.0
_RELATIVE[Parameter.LOG_INTRA, Parameter.LOG_COMPUTE] = 0.5
_RELATIVE[Parameter.LOG_INTER, Parameter.LOG_COMPUTE] = 0.5
_RELATIVE[Parameter.LOG_INTER, Parameter.LOG_INTRA] = 1.0

# A ring over n moves 2 (n - 1) / n of the gradient: once over two.  It seldom runs at the rate of the link.
_RING_LOSS, _RING_SD = 0.5, 0.8


@dataclass(frozen=True)
class Belief:
    """A normal distribution of the parameters: their mean (10) and covariance (10, 10)."""

    mean: Array
    covariance: Array

    def updated(self, parameter: Parameter, value: float, sd: float) -> "Belief":
        """Return the belief after an observation of `parameter` with the standard deviation `sd`."""
        gain = self.covariance[:, parameter] / (self.covariance[parameter, parameter] + sd**2)
        mean = self.mean + gain * (value - self.mean[parameter])
        return Belief(mean, self.covariance - np.outer(gain, self.covariance[parameter]))


def prior(pair_intra_s: float | None = None, pair_inter_s: float | None = None) -> Belief:
    """Return the belief before any run, with the least seconds of an all-reduce over two GPUs, and over two nodes."""
    belief = Belief(_RELATIVE @ _MEAN, _RELATIVE @ np.diag(_SD**2) @ _RELATIVE.T)
    for parameter, seconds in ((Parameter.LOG_INTRA, pair_intra_s), (Parameter.LOG_INTER, pair_inter_s)):
        if seconds:
            belief = belief.updated(parameter, math.log(seconds) + _RING_LOSS, _RING_SD)
    return belief


@dataclass(frozen=True)
class Points:
    """The parts of several shapes that the model depends on, as arrays of one length n."""

    nodes: Array  # N
    gpus_per_node: Array  # g, the mean over the nodes
    batch_size: Array  # b
    accumulation: Array  # a

    def __len__(self) -> int:
        return len(self.nodes)


def log_time(phi: Array, at: Points, reference: float) -> tuple[Array, Array, Array]:
    """Return log T, log Tc and log Tnet of parameters `phi` (..., 10) at n points, each (..., n)."""
    terms = _terms(phi, at, reference)
    return terms.log_t, terms.log_c, terms.log_n


def network_share(phi: Array, at: Points, reference: float) -> Array:
    """Return d log T / d log Tnet of parameters `phi` (..., 10) at n points: (..., n)."""
    t = _terms(np.clip(phi, LOWEST, HIGHEST), at, reference)
    share: Array = np.exp(t.log_last - t.log_t) * (1 - np.exp(t.sharp * (t.log_c - t.log_last)))
    return share


def log_time_slopes(phi: Array, at: Points, reference: float) -> tuple[Array, Array]:
    """Return log T (..., n) of parameters `phi` (..., 10), and its derivatives by them (..., n, 10)."""
    t, p = _terms(phi, at, reference), _columns(phi)
    step_c = np.exp(t.sharp * (t.log_c - t.log_last))
    step_n = 1 - step_c
    within, between = step_n * t.within / t.network, step_n * t.between / t.network
    weighted = -t.curve + t.fixed * t.log_b0 + (1 - t.fixed) * np.log(at.batch_size)
    weighted_r = -t.curve_r + t.fixed_r * t.log_b0 + (1 - t.fixed_r) * math.log(reference)
    by_q = (weighted - weighted_r) * np.exp(p[Parameter.LOG_SHARPNESS]) / t.q
    last = np.exp(t.log_last - t.log_t)  # the share of the step that its last micro-batch takes
    by_c = (1 - last) + last * step_c  # d log T / d log Tc
    overlap = (-t.log_last + step_c * t.log_c + step_n * t.log_n) * np.exp(p[Parameter.LOG_OVERLAP]) / t.sharp
    slopes = {
        Parameter.LOG_COMPUTE: by_c,
        Parameter.LOG_FIXED_BATCH: by_c * (t.fixed - t.fixed_r),
        Parameter.LOG_INTRA: last * within,
        Parameter.INTRA_GPUS: last * within * t.log_peers,
        Parameter.LOG_INTER: last * between,
        Parameter.INTER_NODES: last * between * np.log(at.nodes / 2),
        Parameter.INTER_GPUS: last * between * np.log(at.gpus_per_node),
        Parameter.STRAGGLING: by_c * np.log(at.nodes * at.gpus_per_node),
        Parameter.LOG_SHARPNESS: by_c * by_q,
        Parameter.LOG_OVERLAP: last * overlap,
    }
    return t.log_t, np.stack([slopes[parameter] for parameter in Parameter], -1)


@dataclass(frozen=True)
class _Terms:
    """The terms of the formula at n points, each (..., n) or one that broadcasts to it."""

    q: Array
    sharp: Array  # c
    log_b0: Array
    curve: Array  # log (b0^q + b^q)^(1/q)
    fixed: Array  # the share of b0^q in that sum
    curve_r: Array  # the same two at r
    fixed_r: Array
    log_peers: Array  # log (g - 1)
    within: Array  # Tnet in a node
    between: Array  # Tnet between nodes
    network: Array  # Tnet
    log_c: Array  # log Tc
    log_n: Array  # log Tnet
    log_last: Array  # log of the last micro-batch with its all-reduce
    log_t: Array  # log T


def _columns(phi: Array) -> list[Array]:
    return [phi[..., i, None] for i in Parameter]


def _terms(phi: Array, at: Points, reference: float) -> _Terms:
    p = _columns(phi)
    q, sharp, log_b0 = (
        1 + np.exp(p[Parameter.LOG_SHARPNESS]),
        1 + np.exp(p[Parameter.LOG_OVERLAP]),
        math.log(reference) + p[Parameter.LOG_FIXED_BATCH],
    )
    curve, fixed = _soft_max(q, log_b0, np.log(at.batch_size))
    curve_r, fixed_r = _soft_max(q, log_b0, math.log(reference))
    log_c = (
        p[Parameter.LOG_COMPUTE]
        + curve
        - curve_r
        + p[Parameter.STRAGGLING] * np.log(at.nodes * at.gpus_per_node)
    )
    log_peers = np.log(np.maximum(at.gpus_per_node - 1, 1))
    within = np.where(
        at.gpus_per_node > 1, np.exp(p[Parameter.LOG_INTRA] + p[Parameter.INTRA_GPUS] * log_peers), 0
    )
    between = np.exp(
        p[Parameter.LOG_INTER]
        + p[Parameter.INTER_NODES] * np.log(at.nodes / 2)
        + p[Parameter.INTER_GPUS] * np.log(at.gpus_per_node)
    )
    between = np.where(at.nodes > 1, between, 0)
    network = np.maximum(within + between, 1e-30)
    log_n = np.log(network)
    log_last, _ = _soft_max(sharp, log_c, log_n)
    log_t = np.where(
        at.accumulation > 1,
        np.logaddexp(np.log(np.maximum(at.accumulation - 1, 1)) + log_c, log_last),
        log_last,
    )
    return _Terms(
        q,
        sharp,
        log_b0,
        curve,
        fixed,
        curve_r,
        fixed_r,
        log_peers,
        within,
        between,
        network,
        log_c,
        log_n,
        log_last,
        log_t,
    )


def _soft_max(power: Array, x: Array, y: Any) -> tuple[Array, Array]:
    """log (e^(power x) + e^(power y)) / power, and the share of the first term in that sum."""
    size = np.maximum(x, y) + np.log1p(np.exp(-power * np.abs(x - y))) / power
    return size, np.exp(power * (x - size))
