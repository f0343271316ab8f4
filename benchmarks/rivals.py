"""Predict step times as others have published it: the methods that accuracy.py compares ours with.

Each is a function of runs, their step times and queries, and returns a time per query, in seconds.  A query is a row
(nodes, GPUs, GPUs per node, micro-batch).  A run has a fifth column: the part of its time that is not synchronisation.
With one run there is nothing to fit, so all but adaptdl are linear scaling.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_NOTHING = -25.0  # the logarithm of no seconds


def linear(runs: Array, times: Array, queries: Array) -> Array:
    """Scale the samples per second and GPU of the largest run."""
    largest = np.lexsort((runs[:, 3], runs[:, 1]))[-1]
    return np.asarray(times[largest] / runs[largest, 3] * queries[:, 3])


def amdahl(runs: Array, times: Array, queries: Array) -> Array:
    """Fit the time per sample as a serial share and a share that G GPUs divide, by least squares."""
    if len(runs) == 1:
        return linear(runs, times, queries)

    def terms(x: Array) -> Array:
        return np.stack([np.ones(len(x)), 1 / x[:, 1]], 1)

    per_sample = times / (runs[:, 1] * runs[:, 3])
    weights = _nnls(terms(runs) / per_sample[:, None], np.ones(len(runs)))
    return np.maximum(terms(queries) @ weights, 1e-9) * queries[:, 1] * queries[:, 3]


def ernest(runs: Array, times: Array, queries: Array) -> Array:
    """Fit non-negative weights of 1, b, log G and G to relative errors (Venkataraman et al., NSDI 2016)."""
    if len(runs) == 1:
        return linear(runs, times, queries)

    def terms(x: Array) -> Array:
        return np.stack([np.ones(len(x)), x[:, 3], np.log(x[:, 1]), x[:, 1]], 1)

    return terms(queries) @ _nnls(terms(runs) / times[:, None], np.ones(len(runs)))


def pollux(runs: Array, times: Array, queries: Array) -> Array:
    """Fit T = (Tgrad^c + Tsync^c)^(1/c) to log errors, from random starts (Qiao et al., OSDI 2021, section 4).

    Tgrad = a + b m; Tsync = a' + b' (G - 2) within a node, a'' + b'' (G - 2) between nodes.
    As in its code, terms that no run shows are left out: growth up to 2 GPUs, all of Tsync on one GPU.
    A network between nodes costs 1.1 times one within, while no run has two nodes.
    """
    if len(runs) == 1:
        return linear(runs, times, queries)
    single, pairs = runs[:, 1].max() < 2, runs[:, 1].max() < 3
    left_out = np.array([False, False, single, pairs, single, pairs])
    one_node = runs[:, 0].max() < 2

    def seconds(p: Array, x: Array) -> Array:
        p = np.append(np.where(left_out, _NOTHING, p[:6]), p[6])
        if one_node:
            p[4:6] = p[2:4] + np.log(1.1)
        return _pollux(p, x)

    def residual(p: Array) -> Array:
        errors = np.log(seconds(p, runs) / times) / np.sqrt(len(runs))
        growth = np.exp(np.clip(p[[3, 5]] - p[[2, 4]], -25, 10))  # its penalties: little growth, small c
        return np.concatenate([errors, 0.1 * np.where(pairs, 0, growth), [1e-1**1.5 * (_power(p) - 1)]])

    rng = np.random.default_rng(0)
    base = times.min()
    best, best_loss = np.zeros(7), np.inf
    for _ in range(8):
        start = np.log(base) + rng.normal(-2, 1.5, 6)
        start[1] -= np.log(runs[:, 3].mean())
        solution, loss = _minimise(residual, np.append(start, rng.normal(0, 1)))
        if loss < best_loss:
            best, best_loss = solution, loss
    return seconds(best, queries)


def adaptdl(runs: Array, times: Array, queries: Array) -> Array:
    """Call Pollux's own code, from the package adaptdl: it alone gets the synchronisation time of each run."""
    from adaptdl.goodput import GoodputFunction, fit_perf_params  # noqa: PLC0415  not installed everywhere

    params = fit_perf_params(runs[:, 0], runs[:, 1], runs[:, 3], runs[:, 4], times)
    speed: Array = GoodputFunction(params, (0.0, 1.0), 1).throughput(
        queries[:, 0], queries[:, 1], queries[:, 3], 0
    )
    return queries[:, 1] * queries[:, 3] / speed


def _pollux(p: Array, x: Array) -> Array:
    a, b, near, near_more, far, far_more = np.exp(np.clip(p[:6], -25, 10))
    power = _power(p)
    grad, more = a + b * x[:, 3], np.maximum(x[:, 1] - 2, 1e-8)
    sync = np.where(x[:, 0] > 1, far + far_more * more, near + near_more * more)
    sync = np.where(x[:, 1] > 1, sync, 0)
    large: Array = np.maximum(grad, sync)
    seconds: Array = large * ((grad / large) ** power + (sync / large) ** power) ** (1 / power)
    return seconds


def _power(p: Array) -> float:
    """Return c, within Pollux's bounds of 1 and 10."""
    return float(1 + 9 / (1 + np.exp(-p[6])))


def _minimise(residual: Callable[[Array], Array], p: Array) -> tuple[Array, float]:
    """Minimise by Levenberg-Marquardt with differences; a weak pull to the start decides where data do not."""
    start = p

    def residuals_and_pull(q: Array) -> Array:
        return np.append(residual(q), 1e-2 * (q - start))

    r, damping = residuals_and_pull(p), 1e-2
    for _ in range(60):
        slopes = np.stack([(residuals_and_pull(p + 1e-5 * row) - r) / 1e-5 for row in np.eye(len(p))], 1)
        square = slopes.T @ slopes
        step = np.linalg.solve(
            square + damping * (np.diag(np.diag(square)) + 1e-9 * np.eye(len(p))), -slopes.T @ r
        )
        new_r = residuals_and_pull(p + step)
        if new_r @ new_r < r @ r:
            gain = r @ r - new_r @ new_r
            p, r, damping = p + step, new_r, damping * 0.3
            if gain < 1e-7:
                break
        else:
            damping *= 5
    return p, float(r @ r)


def _nnls(a: Array, b: Array) -> Array:
    """Solve non-negative least squares by trying every set of active terms: there are at most four."""
    best, best_loss = np.zeros(a.shape[1]), np.inf
    for subset in range(1, 2 ** a.shape[1]):
        columns = [i for i in range(a.shape[1]) if subset >> i & 1]
        x = np.linalg.lstsq(a[:, columns], b, rcond=None)[0]
        loss = float(np.sum((a[:, columns] @ x - b) ** 2)) + 1e-9 * len(columns)
        if (x >= 0).all() and loss < best_loss:
            best, best_loss = np.zeros(a.shape[1]), loss
            best[columns] = x
    return best
