"""The step model fitted to a few runs: the parameters after them, and step times drawn from those.

The scale and the roughness of the residuals are one of a few, weighed by their evidence.  For each, the posterior is
taken as normal around its mode (Laplace's approximation), which Levenberg-Marquardt finds; the draws are weighed by the
true posterior over that normal.  No model is the whole truth, so both weights count less than in full.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from .model import (
    HIGHEST,
    LOWEST,
    Array,
    Belief,
    Parameter,
    Points,
    log_time,
    log_time_slopes,
    network_share,
)
from .observations import Observations
from .residuals import LOG_WEIGHTS, REST_SD, SCALES, covariance_of, independent_variance, same_points

_ROUNDS, _ENOUGH = 30, 1e-4
_DRAWS = 256
_CREDIT = 0.6  # the power of itself that evidence counts as


@dataclass(frozen=True)
class Posterior:
    """The fits to n points, one for each of m scales and roughnesses: mode (m, 10), covariance (m, 10, 10), weight (m).

    `mean` and `precision` are those of the belief before any run.
    """

    observed: Observations
    reference: float
    mean: Array
    precision: Array
    mode: Array
    covariance: Array
    weight: Array
    network: Array  # d log T / d log Tnet of the observations
    inverse: Array  # of the covariance of the observations
    residual: Array
    slopes: Array

    @property
    def best(self) -> int:
        """Return the place of the scale and roughness with the most evidence."""
        return int(np.argmax(self.weight))


def fit_posterior(observed: Observations, belief: Belief, reference: float) -> Posterior:
    """Return the posterior of each scale and roughness; `reference` is the micro-batch r of the model."""
    every = np.arange(len(SCALES))
    noise = SCALES[:, None] ** 2 * REST_SD**2 * (0.5 + 0.5 / observed.runs) + observed.doubt
    precision, mode = _inverse(belief.covariance), np.repeat(belief.mean[None], len(every), 0)
    network = np.zeros((len(every), len(observed.at)))
    if len(observed.at):
        start, _, _ = log_time(mode, observed.at, reference)
        smallest = np.lexsort((observed.at.batch_size, observed.at.nodes * observed.at.gpus_per_node))[0]
        # Everything relative to the compute time moves with it.
        compute = Parameter.LOG_COMPUTE
        shift = belief.covariance[compute] / belief.covariance[compute, compute]
        mode = mode + (observed.log_time - start)[:, smallest, None] * shift
    for again in (False, True):
        if again:  # the first fit tells how far the network shows
            network = network_share(mode, observed.at, reference)
        covariance = covariance_of(every, observed.at, observed.at, network, network)
        covariance = covariance + noise[:, :, None] * np.eye(len(observed.at))
        inverse = _inverse(covariance)
        mode, loss, residual, slopes = _descend(mode, observed, belief.mean, precision, inverse, reference)
        if not np.any(observed.at.nodes * observed.at.gpus_per_node > 1):
            break
    curvature = np.swapaxes(slopes, -1, -2) @ inverse @ slopes + precision
    evidence = -loss - 0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * np.linalg.slogdet(curvature)[1]
    weight = np.exp(_CREDIT * (evidence - np.max(evidence)) + LOG_WEIGHTS)
    return Posterior(
        observed,
        reference,
        belief.mean,
        precision,
        mode,
        _inverse(curvature),
        weight / weight.sum(),
        network,
        inverse,
        residual,
        slopes,
    )


def _descend(
    mode: Array, observed: Observations, mean: Array, precision: Array, inverse: Array, reference: float
) -> tuple[Array, Array, Array, Array]:
    """Levenberg-Marquardt over all scales at once: mode, loss, residual, slopes."""

    def at(phi: Array) -> tuple[Array, Array, Array]:
        log_t, slopes = log_time_slopes(np.clip(phi, LOWEST, HIGHEST), observed.at, reference)
        residual, offset = observed.log_time - log_t, phi - mean
        loss = _square(residual, inverse) + _square(offset, precision)
        return 0.5 * loss, residual, slopes

    loss, residual, slopes = at(mode)
    damping = np.full(len(mode), 1e-3)
    for _ in range(_ROUNDS):
        lever = np.swapaxes(slopes, -1, -2) @ inverse
        curvature = lever @ slopes + precision
        downhill = (lever @ residual[..., None])[..., 0] - (mode - mean) @ precision
        damped = curvature * (1 + damping[:, None, None] * np.eye(len(Parameter)))
        trial = mode + np.linalg.solve(damped, downhill[..., None])[..., 0]
        new_loss, new_residual, new_slopes = at(trial)
        better = new_loss < loss
        settled = bool(np.all(np.abs(loss - new_loss) < _ENOUGH))
        mode = np.where(better[:, None], trial, mode)
        residual = np.where(better[:, None], new_residual, residual)
        slopes = np.where(better[:, None, None], new_slopes, slopes)
        loss = np.where(better, new_loss, loss)
        damping = np.where(better, damping * 0.3, damping * 6)
        if settled:
            break
    return mode, loss, residual, slopes


def _inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _square(x: Array, matrix: Array) -> Array:
    product: Array = (x[:, None] @ matrix @ x[..., None])[:, 0, 0]
    return product


def draw(posterior: Posterior, at: Points) -> Array:
    """Return equally likely logarithms of the step time: (draws, n)."""
    draws, used = [], 0
    half = _normals()
    for scale, count in enumerate(_apportion(posterior.weight)):
        if count:
            z = half[used : used + count]
            draws.append(_draw_one(posterior, scale, at, np.concatenate([z, -z])))
            used += count
    return np.concatenate(draws)


def _apportion(weight: Array) -> list[int]:
    ends = np.round(np.cumsum(weight) * (_DRAWS // 2)).astype(int)
    return [int(n) for n in np.diff(ends, prepend=0)]


def _draw_one(posterior: Posterior, m: int, at: Points, z: Array) -> Array:
    observed, scale, reference = posterior.observed, SCALES[m], posterior.reference
    phi = posterior.mode[m] + z[:, : len(Parameter)] @ np.linalg.cholesky(posterior.covariance[m]).T
    clipped = np.clip(phi, LOWEST, HIGHEST)
    residual = observed.log_time - log_time(clipped, observed.at, reference)[0]
    rest, network = scale**2 * REST_SD**2, network_share(posterior.mode[m], at, reference)
    across = covariance_of(m, at, observed.at, network, posterior.network[m])
    across = across + rest / 2 * same_points(at, observed.at)
    pull = across @ posterior.inverse[m]
    variance = np.maximum(independent_variance(m, network) - np.sum(pull * across, -1), rest / 2)
    log_t: Array = log_time(clipped, at, reference)[0] + residual @ pull.T + np.sqrt(variance) * z[:, -1:]
    loss = _square(residual, posterior.inverse[m]) + _square(phi - posterior.mean, posterior.precision)
    return log_t[_resample(_CREDIT / 2 * (np.sum(z[:, : len(Parameter)] ** 2, -1) - loss))]


def _resample(log_weight: Array) -> NDArray[np.intp]:
    """As many indices as weights, each as often as its weight says."""
    cumulative = np.cumsum(np.exp(log_weight - np.max(log_weight)))
    n = len(cumulative)
    return np.asarray(np.searchsorted(cumulative, (np.arange(n) + 0.5) / n * cumulative[-1]), np.intp)


@cache
def _normals() -> Array:
    """Half of the draws of 10 parameters and the noise, evenly spread; their negatives are the other half.

    The additive sequence of M. Roberts (2018), frac(i / root^(j + 1)), root^(d + 1) = root + 1.
    """
    dimensions, root = len(Parameter) + 1, 1.5
    for _ in range(60):
        root = (1 + root) ** (1 / (dimensions + 1))
    i = np.arange(1, _DRAWS // 2 + 1)[:, None]
    uniform = np.modf(0.5 + i * root ** -np.arange(1.0, dimensions + 1))[0]
    quantile = NormalDist().inv_cdf
    return np.array([[quantile(u) for u in row] for row in uniform])


def leave_one_out_residuals(posterior: Posterior, belief: Belief) -> tuple[Array, Array]:
    """Return the residual of each observation from the prediction by all others, and its standard deviation, in log T."""
    m = posterior.best
    slopes = posterior.slopes[m]
    prior_residual = posterior.residual[m] + slopes @ (posterior.mode[m] - belief.mean)
    covariance = np.linalg.inv(posterior.inverse[m]) + slopes @ belief.covariance @ slopes.T
    precision = _inverse(covariance)
    diagonal = np.diag(precision)
    residuals = np.asarray(precision @ prior_residual / diagonal, np.float64)
    return residuals, np.asarray(1 / np.sqrt(diagonal), np.float64)


def variance_reductions(posterior: Posterior, candidates: Points, targets: Points) -> Array:
    """Return how much a run of each of c candidates would reduce the variance of log T of each of n targets: (c, n)."""
    m, reference = posterior.best, posterior.reference
    network, target_network = (
        network_share(posterior.mode[m], at, reference) for at in (candidates, targets)
    )
    half = _normals()[:, : len(Parameter)] @ np.linalg.cholesky(posterior.covariance[m]).T
    phi = np.clip(posterior.mode[m] + np.concatenate([half, -half]), LOWEST, HIGHEST)
    log_t, target_log_t = (log_time(phi, at, reference)[0] for at in (candidates, targets))
    log_t, target_log_t = log_t - np.mean(log_t, 0), target_log_t - np.mean(target_log_t, 0)
    variance = np.mean(log_t**2, 0) + independent_variance(m, network)
    covariance = log_t.T @ target_log_t / len(phi)
    covariance = covariance + covariance_of(m, candidates, targets, network, target_network)
    reductions: Array = covariance**2 / variance[:, None]
    return reductions


def transfer_belief(
    belief: Belief, others: Sequence[Observations], share: Sequence[float], reference: float
) -> Belief:
    """Return the belief after runs on related hardware, which has parameters in common with this one.

    `share[i]` is the part of the variance of parameter i, relative to those before it, that is common.
    """
    root = np.linalg.cholesky(belief.covariance)
    common = root * np.asarray(share, float) @ root.T
    specific, mean = belief.covariance - common, belief.mean
    for other in others:
        before = Belief(mean, specific + common)
        fitted = fit_posterior(other, before, reference)
        gain = common @ np.linalg.inv(before.covariance)
        mean = mean + gain @ (fitted.mode[fitted.best] - mean)
        common = common - gain @ (before.covariance - fitted.covariance[fitted.best]) @ gain.T
        common = (common + common.T) / 2
    return Belief(mean, specific + common)
