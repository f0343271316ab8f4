"""How measured step times depart from the formula: what the residuals of nearby shapes have in common.

The covariance of log t between i and j is

    s^2 [ 0.07^2 e^(-d_b^2 / (2 1.2^2)) + 0.05^2 R + 0.02^2 (same shape) + 0.02^2 (same run) ] + 0.2^2 u_i u_j R
    R = e^(-D / 2)

d_b is the distance of the micro-batches in doublings of their tokens, or samples, D the sum of the squared distances of
nodes, GPUs per node, tensor and pipeline parallelism and tokens, and a quarter of that of accumulation; u = d log T / d
log e.

"""

from typing import Any

import numpy as np

from .observations import Observations
from .parameters import Array
from .points import Points

_BATCH_SD, _PLACE_SD, SHAPE_SD, RUN_SD, _NETWORK_SD = 0.07, 0.05, 0.02, 0.02, 0.2
_BATCH_DISTANCE = 1.2


def covariance_of(scale: Any, one: Points, other: Points, network: Array, other_network: Array) -> Array:
    """Return the covariance of the departures: (m, n, n'), or (n, n') of one scale."""

    def squared_distance(x: Array, y: Array) -> Array:
        return (np.log2(x)[:, None] - np.log2(y)[None]) ** 2

    distance = 0.25 * squared_distance(one.accumulation, other.accumulation)
    for name in ("nodes", "gpus_per_node", "tensor", "pipeline", "tokens"):
        distance = distance + squared_distance(getattr(one, name), getattr(other, name))
    near = np.exp(-distance / 2)
    batch = np.exp(
        -squared_distance(one.batch_size * one.tokens, other.batch_size * other.tokens)
        / (2 * _BATCH_DISTANCE**2)
    )
    smooth = np.asarray(scale)[..., None, None] ** 2 * (_BATCH_SD**2 * batch + _PLACE_SD**2 * near)
    covariance: Array = smooth + _NETWORK_SD**2 * network[..., :, None] * other_network[..., None, :] * near
    return covariance


def covariance_of_other_kinds(observed: Observations, network: Array) -> Array:
    """Return the covariance that runs of another GPU type or precision have among them: (m, n, n)."""
    same_kind = observed.kind[:, None] == observed.kind[None]
    of_network = observed.network_sd * network
    of_all = observed.ratio_sd[:, None] * observed.ratio_sd + of_network[:, :, None] * of_network[:, None]
    return np.where(same_kind, of_all, 0.0)


def same_shapes(one: Points, other: Points) -> Array:
    names = ("nodes", "gpus", "batch_size", "accumulation", "tensor", "pipeline", "tokens")
    equal: Array = np.all(
        [getattr(one, name)[:, None] == getattr(other, name)[None] for name in names], 0
    ).astype(float)
    return equal


def independent_variance(scale: float, network: Array) -> Array:
    """Return the variance of all departures of one run but its own (n), at one scale."""
    of_place = scale**2 * (_BATCH_SD**2 + _PLACE_SD**2 + SHAPE_SD**2)
    return np.asarray(of_place + _NETWORK_SD**2 * network**2, np.float64)
