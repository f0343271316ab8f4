"""The step time of a synchronous data-parallel job as physics has it, and what is believed before any run.

b micro-batch per GPU, a micro-batches a step, g GPUs per node, N nodes, r a reference micro-batch:

    Tc   = e^ls ((b0^q + b^q) / (b0^q + r^q))^(1/q) (N g)^kap        b0 = r e^lb
    Tnet = e^li (g - 1)^pi  if g > 1   +   e^ln (N / 2)^pn g^pg  if N > 1
    T    = (a - 1) Tc + (Tc^c + Tnet^c)^(1/c)                        in seconds

b0 is the batch whose work takes as long as what every step costs, q = 1 + e^lq how sharply one gives way to the
other; the last micro-batch hides the all-reduce as far as the overlap exponent c = 1 + e^lc says.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NAMES = ("ls", "lb", "li", "pi", "ln", "pn", "pg", "kap", "lq", "lc")
LS, LB, LI, PI, LN, PN, PG, KAP, LQ, LC = range(len(NAMES))

# No exponent is negative: neither more GPUs, nor more nodes, nor a larger batch make T shorter.
LOWEST = np.array([-9, -6, -14, 0, -14, 0, 0, 0, -7, -7.0])
HIGHEST = np.array([6, 4, 5, 3, 5, 2, 2, 0.3, 2.5, 2.5])

# Independent beliefs; round numbers that 38 published series bear out (Pollux, OSDI 2021; Sia, SOSP 2023;
# Gavel, OSDI 2020).  lb, li and ln are told relative to the others: the fixed cost is a time, whatever the work;
# models of longer steps have more to exchange, but not in proportion; between nodes is relative to within one.
_MEAN = np.array([-1, -2.2, -3.25, 0.5, 0.75, 0.1, 0.05, 0.02, -1.5, -0.25])
_SD = np.array([2.5, 1.1, 1.8, 0.3, 1.2, 0.2, 0.2, 0.02, 0.7, 1.0])
_RELATIVE = np.eye(len(NAMES))
_RELATIVE[LB, LS] = -1.0
_RELATIVE[LI, LS] = _RELATIVE[LN, LS] = 0.5
_RELATIVE[LN, LI] = 1.0

# A ring moves 2 (n - 1) / n of the gradient: once at n = 2.  It seldom runs at the link's rate.
_RING_LOSS, _RING_SD = 0.5, 0.8


@dataclass(frozen=True)
class Belief:
    """A normal distribution of the parameters."""

    mean: Array
    covariance: Array

    def told(self, parameter: int, value: float, sd: float) -> "Belief":
        """After `parameter` was seen as `value`, give or take `sd`."""
        gain = self.covariance[:, parameter] / (self.covariance[parameter, parameter] + sd**2)
        mean = self.mean + gain * (value - self.mean[parameter])
        return Belief(mean, self.covariance - np.outer(gain, self.covariance[parameter]))


def prior(within_node_s: float | None = None, between_nodes_s: float | None = None) -> Belief:
    """What is believed before any run, given the seconds an all-reduce over two GPUs or nodes takes at least."""
    belief = Belief(_RELATIVE @ _MEAN, _RELATIVE @ np.diag(_SD**2) @ _RELATIVE.T)
    for parameter, seconds in ((LI, within_node_s), (LN, between_nodes_s)):
        if seconds:
            belief = belief.told(parameter, math.log(seconds) + _RING_LOSS, _RING_SD)
    return belief


@dataclass(frozen=True)
class Points:
    """Configurations as arrays of one length."""

    nodes: Array
    per_node: Array
    batch: Array
    accumulation: Array

    def __len__(self) -> int:
        return len(self.nodes)


def log_time(phi: Array, at: Points, reference: float) -> tuple[Array, Array, Array]:
    """log T, log Tc and log Tnet of parameters (..., 10) at n points, each (..., n)."""
    terms = _terms(phi, at, reference)
    return terms.log_t, terms.log_c, terms.log_n


def network_share(phi: Array, at: Points, reference: float) -> Array:
    """d log T / d log Tnet of parameters (..., 10) at n points: (..., n)."""
    t = _terms(np.clip(phi, LOWEST, HIGHEST), at, reference)
    share: Array = np.exp(t.log_last - t.log_t) * (1 - np.exp(t.sharp * (t.log_c - t.log_last)))
    return share


def log_time_slopes(phi: Array, at: Points, reference: float) -> tuple[Array, Array]:
    """log T, and its derivatives by the parameters (..., n, 10)."""
    t, p = _terms(phi, at, reference), _columns(phi)
    step_c = np.exp(t.sharp * (t.log_c - t.log_last))
    step_n = 1 - step_c
    within, between = step_n * t.within / t.network, step_n * t.between / t.network
    weighted = -t.curve + t.fixed * t.log_b0 + (1 - t.fixed) * np.log(at.batch)
    weighted_r = -t.curve_r + t.fixed_r * t.log_b0 + (1 - t.fixed_r) * math.log(reference)
    by_q = (weighted - weighted_r) * np.exp(p[LQ]) / t.q
    last = np.exp(t.log_last - t.log_t)  # the share of the step that its last micro-batch takes
    by_c = (1 - last) + last * step_c  # d log T / d log Tc
    overlap = (-t.log_last + step_c * t.log_c + step_n * t.log_n) * np.exp(p[LC]) / t.sharp
    slopes = (
        by_c,
        by_c * (t.fixed - t.fixed_r),
        last * within,
        last * within * t.log_peers,
        last * between,
        last * between * np.log(at.nodes / 2),
        last * between * np.log(at.per_node),
        by_c * np.log(at.nodes * at.per_node),
        by_c * by_q,
        last * overlap,
    )
    return t.log_t, np.stack(slopes, -1)


@dataclass(frozen=True)
class _Terms:
    q: Array
    sharp: Array
    log_b0: Array
    curve: Array
    fixed: Array
    curve_r: Array
    fixed_r: Array
    log_peers: Array
    within: Array
    between: Array
    network: Array
    log_c: Array
    log_n: Array
    log_last: Array
    log_t: Array


def _columns(phi: Array) -> list[Array]:
    return [phi[..., i, None] for i in range(len(NAMES))]


def _terms(phi: Array, at: Points, reference: float) -> _Terms:
    p = _columns(phi)
    q, sharp, log_b0 = 1 + np.exp(p[LQ]), 1 + np.exp(p[LC]), math.log(reference) + p[LB]
    curve, fixed = _soft_max(q, log_b0, np.log(at.batch))
    curve_r, fixed_r = _soft_max(q, log_b0, math.log(reference))
    log_c = p[LS] + curve - curve_r + p[KAP] * np.log(at.nodes * at.per_node)
    log_peers = np.log(np.maximum(at.per_node - 1, 1))
    within = np.where(at.per_node > 1, np.exp(p[LI] + p[PI] * log_peers), 0)
    between = np.exp(p[LN] + p[PN] * np.log(at.nodes / 2) + p[PG] * np.log(at.per_node))
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
    """log (e^(power x) + e^(power y)) / power, and the share of the first term."""
    size = np.maximum(x, y) + np.log1p(np.exp(-power * np.abs(x - y))) / power
    return size, np.exp(power * (x - size))
