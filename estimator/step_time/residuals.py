"""Residuals: how measured step times depart from the step model, and how much of that nearby shapes share.

    log t = log T + f_b(log2 b) + f_p(log2 g, log2 N) + u f_n(log2 g, log2 N) + d + e

f_b and f_p are smooth residuals over batches and over GPUs and nodes (Gaussian processes of sd 0.04 r s and 0.045 s).
f_n are those of the network (sd 0.3); they show as far as the network does (u = d log T / d log Tnet), so that two nodes
that do badly say less of sixteen.  d is a residual per shape and e one per run (sd 0.04 s together).  The scale s and
the roughness r over batches are one of `SCALES` and `ROUGHNESSES`: some kernels suit some batches far better.
"""

from typing import Any

import numpy as np

from .model import Array, Points

SCALES = np.tile([0.6, 1.0, 1.8, 3.2], 2)
ROUGHNESSES = np.repeat([1.0, 10.0], 4)
LOG_WEIGHTS = np.log(np.outer([0.75, 0.25], [0.2, 0.35, 0.3, 0.15]).ravel())
_BATCH_SD, _PLACE_SD, _NETWORK_SD, REST_SD = 0.04, 0.045, 0.3, 0.04
_BATCH_LENGTH, _PLACE_LENGTH = 1.5, 0.5


def covariance_of(m: Any, one: Points, other: Points, network: Array, other_network: Array) -> Array:
    """Return the covariance of the residuals under the scales and roughnesses `m`: (m, n, n'), or (n, n') of one."""

    def squared_distance(x: Array, y: Array) -> Array:
        return (np.log2(x)[:, None] - np.log2(y)[None]) ** 2

    batch = _BATCH_SD**2 * np.exp(
        -squared_distance(one.batch_size, other.batch_size) / (2 * _BATCH_LENGTH**2)
    )
    near = squared_distance(one.gpus_per_node, other.gpus_per_node) + squared_distance(one.nodes, other.nodes)
    scale, rough = SCALES[m, ..., None, None], ROUGHNESSES[m, ..., None, None]
    place = (scale * _PLACE_SD) ** 2 + _NETWORK_SD**2 * network[..., :, None] * other_network[..., None, :]
    covariance: Array = (scale * rough) ** 2 * batch + place * np.exp(-near / (2 * _PLACE_LENGTH**2))
    return covariance


def independent_variance(m: int, network: Array) -> Array:
    """Return the variance of all residuals of one run (n), under the scale and roughness `m`."""
    place = _PLACE_SD**2 + (ROUGHNESSES[m] * _BATCH_SD) ** 2 + REST_SD**2
    return np.asarray(SCALES[m] ** 2 * place + _NETWORK_SD**2 * network**2, np.float64)


def same_points(one: Points, other: Points) -> Array:
    """Return 1 where a point of the one is a point of the other, otherwise 0: (n, n')."""
    pairs = (
        (one.nodes, other.nodes),
        (one.gpus_per_node, other.gpus_per_node),
        (one.batch_size, other.batch_size),
        (one.accumulation, other.accumulation),
    )
    return np.asarray(np.all([x[:, None] == y[None] for x, y in pairs], 0), float)
