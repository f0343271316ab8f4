"""Draws from a posterior: step times of any shape, and the run that would narrow them most."""

from collections.abc import Sequence
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .departures import RUN_SD, SHAPE_SD, covariance_of, independent_variance, same_shapes
from .formula import log_time, network_share
from .parameters import HIGHEST, LOWEST, Array, Parameter
from .points import Points
from .posterior import CREDIT, Posterior, inverse_of, quadratic_form

_DRAWS = 512
_BEYOND_SD = 0.05  # for each doubling of the GPUs beyond the largest run


class ParameterDraws(NamedTuple):
    """Equally likely draws by one regime and scale m: of the parameters (draws, 16) and of a standard normal (draws)."""

    m: int
    phi: Array
    noise: Array
    residual: Array  # of the observations (draws, n)


def draw_parameters(posterior: Posterior) -> list[ParameterDraws]:
    """Return as many draws of each regime and scale as its weight says, resampled by the true posterior over Laplace's."""
    observed, half, used = posterior.observed, _normals(), 0
    ends, draws = np.round(np.cumsum(posterior.weight) * len(half)).astype(int), list[ParameterDraws]()
    for m, end in enumerate(ends):
        if end > used:
            z = np.concatenate([half[used:end], -half[used:end]])
            normal = z[:, : len(Parameter)]
            raw = posterior.mode[m] + normal @ np.linalg.cholesky(inverse_of(posterior.curvature[m])).T
            phi = np.clip(raw, LOWEST, HIGHEST)
            residual = observed.log_time - log_time(phi, observed.at, posterior.log_reference)
            loss = quadratic_form(residual, posterior.inverse[m])
            loss = loss + quadratic_form(raw - posterior.belief.mean[m], posterior.precision[m])
            chosen = _resample(CREDIT * (np.sum(normal**2, -1) - loss) / 2)
            draws.append(ParameterDraws(m, phi[chosen], z[:, -1], residual[chosen]))
        used = end
    return draws


def _resample(log_weight: Array) -> NDArray[np.intp]:
    """As many indices as weights, each as often as its weight says."""
    cumulative = np.cumsum(np.exp(log_weight - np.max(log_weight)))
    n = len(cumulative)
    return np.asarray(np.searchsorted(cumulative, (np.arange(n) + 0.5) / n * cumulative[-1]), np.intp)


def draw_log_times(posterior: Posterior, draws: Sequence[ParameterDraws], at: Points) -> Array:
    """Return equally likely logarithms of the step time: (draws, n)."""
    log_t, sd = _mean_log_time(posterior, draws, at)
    drawn: Array = log_t + sd * np.concatenate([d.noise for d in draws])[:, None]
    return drawn


def _mean_log_time(posterior: Posterior, draws: Sequence[ParameterDraws], at: Points) -> tuple[Array, Array]:
    """Log T of each draw, with the departures that the residuals of its parameters mean, and their rest: (draws, n) each."""
    log_t = log_time(np.concatenate([d.phi for d in draws]), at, posterior.log_reference)
    sds, end = np.empty_like(log_t), 0
    for d in draws:
        start, end = end, end + len(d.phi)
        pull, sds[start:end] = _departures(posterior, d.m, at)
        log_t[start:end] += d.residual @ pull.T
    return log_t, sds


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
    draws, m = draw_parameters(posterior), posterior.best
    log_t, target_log_t = (
        means - np.mean(means, axis=0)
        for at in (candidates, targets)
        for means, _ in [_mean_log_time(posterior, draws, at)]
    )
    covariance = log_t.T @ target_log_t / len(log_t)
    networks = [network_share(posterior.mode[m], at, posterior.log_reference) for at in (candidates, targets)]
    scale, inverse = posterior.scale[m], posterior.inverse[m]
    across, target_across = (
        covariance_of(scale, at, posterior.observed.at, network, posterior.network[m])
        for at, network in zip((candidates, targets), networks, strict=True)
    )
    departures = covariance_of(scale, candidates, targets, *networks) - across @ inverse @ target_across.T
    covariance = covariance + departures
    variance = np.mean(log_t**2, 0) + _departures(posterior, m, candidates)[1] ** 2
    reductions: Array = covariance**2 / variance[:, None]
    return reductions
