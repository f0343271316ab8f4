"""The step model fitted to a few runs: where it fits best, how well that is known, and what it then predicts.

    log t = log T + f_b(log2 b) + f_p(log2 g, log2 N) + d + e

f_b and f_p are smooth departures from the model (Gaussian processes of sd 0.04 and 0.06 s), d one of each
configuration and e one of each run (0.03 s together); the scale s is one of `_SCALES`, weighed by evidence.  For
each s the posterior is taken as normal around its mode (Laplace), found by Levenberg-Marquardt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from .step_model import HIGHEST, LOWEST, LS, NAMES, Array, Belief, Points, log_time, log_time_slopes

_SCALES = np.array([0.6, 1.0, 1.8, 3.2])
_LOG_WEIGHTS = np.log([0.2, 0.35, 0.3, 0.15])
_BATCH_SD, _PLACE_SD, _REST_SD = 0.04, 0.06, 0.03
_BATCH_LENGTH, _PLACE_LENGTH = 0.5, 1.0
_ROUNDS, _ENOUGH = 30, 1e-4
_DRAWS = 256


@dataclass(frozen=True)
class Observed:
    """Distinct configurations, the logarithm of the time of each, and what is against each of them.

    `runs` is how many runs each is the mean of; `doubt` a variance added to those under suspicion.
    """

    at: Points
    log_time: Array
    runs: Array
    doubt: Array


@dataclass(frozen=True)
class Posterior:
    """The fits, one a scale: modes (m, 10), covariances, weights, and what the departures need."""

    observed: Observed
    reference: float
    mode: Array
    covariance: Array
    weight: Array
    inverse: Array  # of the covariance of the observations
    residual: Array
    slopes: Array

    @property
    def best(self) -> int:
        return int(np.argmax(self.weight))


def fit(observed: Observed, belief: Belief, reference: float) -> Posterior:
    """The posterior of each scale."""
    scales, n = _SCALES[:, None, None], len(observed.at)
    noise = scales[:, 0] ** 2 * _REST_SD**2 * (0.5 + 0.5 / observed.runs) + observed.doubt
    covariance = _departures(observed.at, observed.at) * scales**2 + noise[:, :, None] * np.eye(n)
    inverse, precision = _inverse(covariance), _inverse(belief.covariance)
    mode = np.repeat(belief.mean[None], len(_SCALES), 0)
    if n:
        start, _, _ = log_time(mode, observed.at, reference)
        smallest = np.lexsort((observed.at.batch, observed.at.nodes * observed.at.per_node))[0]
        # Everything relative to the compute time moves with it.
        shift = belief.covariance[LS] / belief.covariance[LS, LS]
        mode = mode + (observed.log_time - start)[:, smallest, None] * shift
    mode, loss, residual, slopes = _descend(mode, observed, belief.mean, precision, inverse, reference)
    curvature = np.swapaxes(slopes, -1, -2) @ inverse @ slopes + precision
    evidence = -loss - 0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * np.linalg.slogdet(curvature)[1]
    weight = np.exp(evidence + _LOG_WEIGHTS - np.max(evidence + _LOG_WEIGHTS))
    return Posterior(
        observed, reference, mode, _inverse(curvature), weight / weight.sum(), inverse, residual, slopes
    )


def _descend(
    mode: Array, observed: Observed, mean: Array, precision: Array, inverse: Array, reference: float
) -> tuple[Array, Array, Array, Array]:
    """Levenberg-Marquardt, all scales at once: mode, loss, residual, slopes."""

    def at(phi: Array) -> tuple[Array, Array, Array]:
        log_t, slopes = log_time_slopes(np.clip(phi, LOWEST, HIGHEST), observed.at, reference)
        residual, off = observed.log_time - log_t, phi - mean
        loss = _square(residual, inverse) + _square(off, precision)
        return 0.5 * loss, residual, slopes

    loss, residual, slopes = at(mode)
    damping = np.full(len(mode), 1e-3)
    for _ in range(_ROUNDS):
        lever = np.swapaxes(slopes, -1, -2) @ inverse
        curvature = lever @ slopes + precision
        downhill = (lever @ residual[..., None])[..., 0] - (mode - mean) @ precision
        damped = curvature * (1 + damping[:, None, None] * np.eye(len(NAMES)))
        tried = mode + np.linalg.solve(damped, downhill[..., None])[..., 0]
        new_loss, new_residual, new_slopes = at(tried)
        better = new_loss < loss
        settled = bool(np.all(np.abs(loss - new_loss) < _ENOUGH))
        mode = np.where(better[:, None], tried, mode)
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


def _departures(one: Points, other: Points) -> Array:
    """Covariance of f_b + f_p at scale 1."""

    def apart(x: Array, y: Array) -> Array:
        return (np.log2(x)[:, None] - np.log2(y)[None]) ** 2

    place = apart(one.per_node, other.per_node) + apart(one.nodes, other.nodes)
    smooth: Array = _BATCH_SD**2 * np.exp(-apart(one.batch, other.batch) / (2 * _BATCH_LENGTH**2))
    return smooth + _PLACE_SD**2 * np.exp(-place / (2 * _PLACE_LENGTH**2))


def _same(one: Points, other: Points) -> Array:
    pairs = (
        (one.nodes, other.nodes),
        (one.per_node, other.per_node),
        (one.batch, other.batch),
        (one.accumulation, other.accumulation),
    )
    return np.asarray(np.all([x[:, None] == y[None] for x, y in pairs], 0), float)


def draw(posterior: Posterior, at: Points) -> Array:
    """Equally likely logarithms of the step time: (draws, n)."""
    drawn, done = [], 0
    half = _normals()
    for scale, share in enumerate(_apportioned(posterior.weight)):
        if share:
            z = half[done : done + share]
            drawn.append(_draw_one(posterior, scale, at, np.concatenate([z, -z])))
            done += share
    return np.concatenate(drawn)


def _apportioned(weight: Array) -> list[int]:
    ends = np.round(np.cumsum(weight) * (_DRAWS // 2)).astype(int)
    return [int(n) for n in np.diff(ends, prepend=0)]


def _draw_one(posterior: Posterior, m: int, at: Points, z: Array) -> Array:
    observed, scale = posterior.observed, _SCALES[m]
    root = np.linalg.cholesky(posterior.covariance[m])
    off = z[:, : len(NAMES)] @ root.T
    log_t, _, _ = log_time(np.clip(posterior.mode[m] + off, LOWEST, HIGHEST), at, posterior.reference)
    rest = scale**2 * _REST_SD**2
    across = scale**2 * _departures(at, observed.at) + rest / 2 * _same(at, observed.at)
    pull = across @ posterior.inverse[m]
    residual = posterior.residual[m] - off @ posterior.slopes[m].T
    own = scale**2 * (_BATCH_SD**2 + _PLACE_SD**2) + rest
    left = np.maximum(own - np.sum(pull * across, -1), rest / 2)
    drawn: Array = log_t + residual @ pull.T + np.sqrt(left) * z[:, -1:]
    return drawn


@cache
def _normals() -> Array:
    """Half of the draws, which their negatives complete: 10 parameters and the noise, evenly spread.

    The additive sequence of M. Roberts (2018), frac(i / root^(j + 1)), root^(d + 1) = root + 1.
    """
    dimensions, root = len(NAMES) + 1, 1.5
    for _ in range(60):
        root = (1 + root) ** (1 / (dimensions + 1))
    i = np.arange(1, _DRAWS // 2 + 1)[:, None]
    uniform = np.modf(0.5 + i * root ** -np.arange(1.0, dimensions + 1))[0]
    quantile = NormalDist().inv_cdf
    return np.array([[quantile(u) for u in row] for row in uniform])


def surprises(posterior: Posterior, belief: Belief) -> tuple[Array, Array]:
    """How far each observation is, in log, from what all others say of it, and the sd that has."""
    m = posterior.best
    slopes = posterior.slopes[m]
    prior_residual = posterior.residual[m] + slopes @ (posterior.mode[m] - belief.mean)
    covariance = np.linalg.inv(posterior.inverse[m]) + slopes @ belief.covariance @ slopes.T
    precision = _inverse(covariance)
    own = np.diag(precision)
    off = np.asarray(precision @ prior_residual / own, np.float64)
    return off, np.asarray(1 / np.sqrt(own), np.float64)


def gains(posterior: Posterior, candidates: Points, wanted: Points) -> Array:
    """By how much a run of each candidate would narrow the variance of log T of each wanted: (c, w)."""
    m = posterior.best
    mode = np.clip(posterior.mode[m], LOWEST, HIGHEST)
    scale = _SCALES[m] ** 2
    noise = scale * (_BATCH_SD**2 + _PLACE_SD**2 + _REST_SD**2)
    _, seen = log_time_slopes(mode, candidates, posterior.reference)
    _, asked = log_time_slopes(mode, wanted, posterior.reference)
    spread = np.sum((seen @ posterior.covariance[m]) * seen, -1) + noise
    both = seen @ posterior.covariance[m] @ asked.T + scale * _departures(candidates, wanted)
    narrowed: Array = both**2 / spread[:, None]
    return narrowed


def transferred(
    belief: Belief, others: Sequence[Observed], share: Sequence[float], reference: float
) -> Belief:
    """What runs on related hardware say of this one: parameter i, relative to those before, has `share[i]` of
    its variance in common.
    """
    root = np.linalg.cholesky(belief.covariance)
    common = root * np.asarray(share, float) @ root.T
    own, mean = belief.covariance - common, belief.mean
    for other in others:
        before = Belief(mean, own + common)
        fitted = fit(other, before, reference)
        gain = common @ np.linalg.inv(before.covariance)
        mean = mean + gain @ (fitted.mode[fitted.best] - mean)
        common = common - gain @ (before.covariance - fitted.covariance[fitted.best]) @ gain.T
        common = (common + common.T) / 2
    return Belief(mean, own + common)
