"""The step model fitted to a few runs: the parameters after them.

For each regime of the belief and each scale s the posterior is taken as normal around its mode (Laplace's
approximation), which Levenberg-Marquardt finds.  The formula is not the whole truth, so that evidence counts by its
square root.
"""

from dataclasses import dataclass

import numpy as np

from .belief import Belief
from .departures import RUN_SD, SHAPE_SD, covariance_of, covariance_of_other_kinds
from .formula import log_time, log_time_slopes, network_share
from .observations import Observations
from .parameters import HIGHEST, LOWEST, Array, Parameter

_SCALES = np.array([0.7, 2.0])
CREDIT = 0.5  # the power of itself that evidence counts as
_ROUNDS, _ENOUGH, _LONGEST_STEP = 25, 1e-3, 2.0
_REWEIGHED = (3, 6, 9)  # the rounds in which the covariance is taken anew


@dataclass(frozen=True)
class Posterior:
    """The fits to n points, one for each of m pairs of regime and scale: mode (m, 16), curvature (m, 16, 16), weight (m).

    `belief` has a row for each pair; `precision` (m, 16, 16) is the inverse of its covariance.
    """

    observed: Observations
    log_reference: float
    belief: Belief
    precision: Array
    scale: Array
    mode: Array
    curvature: Array
    weight: Array
    network: Array  # u of the observations
    inverse: Array  # of the covariance of the observations
    residual: Array
    slopes: Array

    @property
    def best(self) -> int:
        """Return the place of the regime and scale with the most evidence."""
        return int(np.argmax(self.weight))


def fit_posterior(observed: Observations, belief: Belief, log_reference: float) -> Posterior:
    """Return the posterior of each regime and scale; `log_reference` is log r of the model."""
    regimes, scales = len(belief.mean), len(_SCALES)
    belief = Belief(*(np.repeat(x, scales, 0) for x in (belief.mean, belief.covariance, belief.log_weight)))
    scale, precision = np.tile(_SCALES, regimes), inverse_of(belief.covariance)
    mode = _start(observed, belief, log_reference)
    noise = scale[:, None] ** 2 * (SHAPE_SD**2 + RUN_SD**2 / observed.runs) + observed.doubt

    def weigh(mode: Array) -> tuple[Array, Array]:
        """U, and the covariance of the observations."""
        network = network_share(mode, observed.at, log_reference)
        covariance = covariance_of(scale, observed.at, observed.at, network, network)
        covariance = covariance + covariance_of_other_kinds(observed, network)
        return network, covariance + noise[:, :, None] * np.eye(len(observed.at))

    def linearise(mode: Array) -> tuple[Array, Array]:
        log_t, slopes = log_time_slopes(np.clip(mode, LOWEST, HIGHEST), observed.at, log_reference)
        return observed.log_time - log_t, slopes

    def loss_of(mode: Array, residual: Array, inverse: Array) -> Array:
        return 0.5 * (quadratic_form(residual, inverse) + quadratic_form(mode - belief.mean, precision))

    network, covariance = weigh(mode)
    inverse = inverse_of(covariance)
    residual, slopes = linearise(mode)
    loss, damping = loss_of(mode, residual, inverse), np.full(len(mode), 1e-2)
    for i in range(_ROUNDS if len(observed.at) else 0):
        if i in _REWEIGHED:  # how far the network shows depends on the fit
            inverse = inverse_of(weigh(mode)[1])
            loss = loss_of(mode, residual, inverse)
        lever = np.swapaxes(slopes, -1, -2) @ inverse
        curvature = lever @ slopes + precision
        downhill = _times(lever, residual) - _times(precision, mode - belief.mean)
        damped = curvature * (1 + damping[:, None, None] * np.eye(len(Parameter)))
        step = np.linalg.solve(damped, downhill[..., None])[..., 0]
        trial = mode + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
        new_residual, new_slopes = linearise(trial)
        new_loss = loss_of(trial, new_residual, inverse)
        better = new_loss < loss
        settled = i > _REWEIGHED[-1] and bool(np.all(np.abs(loss - new_loss) < _ENOUGH))
        mode, loss = np.where(better[:, None], trial, mode), np.where(better, new_loss, loss)
        residual = np.where(better[:, None], new_residual, residual)
        slopes = np.where(better[:, None, None], new_slopes, slopes)
        damping = np.where(better, damping * 0.3, damping * 6)
        if settled:
            break
    network, covariance = weigh(mode)
    inverse = inverse_of(covariance)
    curvature = np.swapaxes(slopes, -1, -2) @ inverse @ slopes + precision
    determinants = [np.linalg.slogdet(x)[1] for x in (precision, covariance, curvature)]
    evidence = 0.5 * (determinants[0] - determinants[1] - determinants[2]) - loss_of(mode, residual, inverse)
    log_weight = CREDIT * evidence + belief.log_weight
    weight = np.exp(log_weight - np.max(log_weight))
    return Posterior(
        observed,
        log_reference,
        belief,
        precision,
        scale,
        mode,
        curvature,
        weight / weight.sum(),
        network,
        inverse,
        residual,
        slopes,
    )


def _start(observed: Observations, belief: Belief, log_reference: float) -> Array:
    """The means of the belief, moved to the level of the runs."""
    for _ in range(3 if len(observed.at) else 0):
        log_t = log_time(belief.mean, observed.at, log_reference)
        belief = belief.shifted(0.8 * np.mean(observed.log_time - log_t, -1))
    return belief.mean


def inverse_of(matrix: Array) -> Array:
    """Return the inverse of each matrix."""
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _times(matrix: Array, x: Array) -> Array:
    product: Array = (matrix @ x[..., None])[..., 0]
    return product


def quadratic_form(x: Array, matrix: Array) -> Array:
    """Return x' matrix x over the last axes."""
    square: Array = np.sum(x * _times(matrix, x), -1)
    return square


def leave_one_out_residuals(posterior: Posterior) -> tuple[Array, Array]:
    """Return the residual of each observation from the prediction by all others, and its standard deviation, in log T."""
    m = posterior.best
    slopes, belief = posterior.slopes[m], posterior.belief
    prior_residual = posterior.residual[m] + slopes @ (posterior.mode[m] - belief.mean[m])
    covariance = inverse_of(posterior.inverse[m]) + slopes @ belief.covariance[m] @ slopes.T
    precision = inverse_of(covariance)
    diagonal = np.diag(precision)
    return precision @ prior_residual / diagonal, 1 / np.sqrt(diagonal)
