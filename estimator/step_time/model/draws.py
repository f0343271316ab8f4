"""Draws from a posterior: step times of any shape, and the run that would narrow them most."""

from collections.abc import Iterator
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from .departures import RUN_SD, SHAPE_SD, covariance_of, independent_variance, same_shapes
from .formula import HIGHEST, LOWEST, Array, Parameter, Points, log_time, network_share
from .posterior import CREDIT, Posterior, inverse_of, quadratic_form

_DRAWS = 512
_BEYOND_SD = 0.05  # for each doubling of the GPUs beyond the largest run


class _Draws(NamedTuple):
    """Draws by one regime and scale m: of the parameters (draws, 16), of a standard normal (draws), their weights (draws)."""

    m: int
    phi: Array
    noise: Array
    residual: Array  # of the observations (draws, n)
    weight: Array


def _draw_parameters(posterior: Posterior) -> Iterator[_Draws]:
    """As many draws of each regime and scale as its weight says, weighed by the true posterior over Laplace's."""
    observed, half, used = posterior.observed, _normals(), 0
    ends = np.round(np.cumsum(posterior.weight) * len(half)).astype(int)
    for m, end in enumerate(ends):
        if end > used:
            z = np.concatenate([half[used:end], -half[used:end]])
            normal = z[:, : len(Parameter)]
            raw = posterior.mode[m] + normal @ np.linalg.cholesky(inverse_of(posterior.curvature[m])).T
            phi = np.clip(raw, LOWEST, HIGHEST)
            residual = observed.log_time - log_time(phi, observed.at, posterior.log_reference)
            loss = quadratic_form(residual, posterior.inverse[m])
            loss = loss + quadratic_form(raw - posterior.belief.mean[m], posterior.precision[m])
            log_weight = CREDIT * (np.sum(normal**2, -1) - loss) / 2
            weight = np.exp(log_weight - np.max(log_weight))
            yield _Draws(m, phi, z[:, -1], residual, weight / weight.sum() * len(z))
        used = end


def draw(posterior: Posterior, at: Points) -> tuple[Array, Array]:
    """Return logarithms of the step time (draws, n) and their weights (draws)."""
    log_times, weights = [], []
    for draws in _draw_parameters(posterior):
        _, sd = _departures(posterior, draws.m, at)
        log_times.append(_mean_log_time(posterior, draws, at) + sd * draws.noise[:, None])
        weights.append(draws.weight)
    return np.concatenate(log_times), np.concatenate(weights)


def _mean_log_time(posterior: Posterior, draws: _Draws, at: Points) -> Array:
    """Log T of each draw, with the departures that the residuals of its parameters mean: (draws, n)."""
    pull, _ = _departures(posterior, draws.m, at)
    return log_time(draws.phi, at, posterior.log_reference) + draws.residual @ pull.T


def _departures(posterior: Posterior, m: int, at: Points) -> tuple[Array, Array]:
    """How far each residual of the observations pulls log T at each point (n, n'), and the rest's standard deviation (n)."""
    observed, scale = posterior.observed, posterior.scale[m]
    network = network_share(posterior.mode[m], at, posterior.log_reference)
    across = covariance_of(scale, at, observed.at, network, posterior.network[m])
    across = across + (scale * SHAPE_SD) ** 2 * same_shapes(at, observed.at)
    pull = across @ posterior.inverse[m]
    variance = independent_variance(float(scale), network)
    variance = np.maximum(variance - np.sum(pull * across, -1), (scale * SHAPE_SD) ** 2 / 4)
    largest = np.max(observed.at.gpus)
    beyond = np.log2(np.maximum(at.gpus / largest, 1))
    return pull, np.sqrt(variance) + scale * RUN_SD + _BEYOND_SD * beyond


@cache
def _normals() -> Array:
    """Half of the draws of all parameters and the noise, evenly spread; their negatives are the other half.

    The additive sequence of M. Roberts (2018), frac(i / root^(j + 1)), root^(d + 1) = root + 1.
    """
    dimensions, root = len(Parameter) + 1, 1.5
    for _ in range(60):
        root = (1 + root) ** (1 / (dimensions + 1))
    i = np.arange(1, _DRAWS // 2 + 1)[:, None]
    uniform = np.modf(0.5 + i * root ** -np.arange(1.0, dimensions + 1))[0]
    quantile = NormalDist().inv_cdf
    return np.array([[quantile(u) for u in row] for row in uniform])


def variance_reductions(posterior: Posterior, candidates: Points, targets: Points) -> Array:
    """Return how much a run of each of c candidates would reduce the variance of log T of each of n targets: (c, n).

    It is taken over all regimes: a run that tells them apart narrows most.
    """
    draws, m = list(_draw_parameters(posterior)), posterior.best
    weight = np.concatenate([d.weight for d in draws])
    log_t, target_log_t = (
        means - np.average(means, axis=0, weights=weight)
        for at in (candidates, targets)
        for means in [np.concatenate([_mean_log_time(posterior, d, at) for d in draws])]
    )
    share = weight[:, None] / weight.sum()
    covariance = (share * log_t).T @ target_log_t
    networks = [network_share(posterior.mode[m], at, posterior.log_reference) for at in (candidates, targets)]
    scale, inverse = posterior.scale[m], posterior.inverse[m]
    across, target_across = (
        covariance_of(scale, at, posterior.observed.at, network, posterior.network[m])
        for at, network in zip((candidates, targets), networks, strict=True)
    )
    departures = covariance_of(scale, candidates, targets, *networks) - across @ inverse @ target_across.T
    covariance = covariance + departures
    variance = np.sum(share * log_t**2, 0) + _departures(posterior, m, candidates)[1] ** 2
    reductions: Array = covariance**2 / variance[:, None]
    return reductions
