"""Published ways to predict step time, as accuracy.py compares them: each a function of runs and shapes.

With one run there is nothing to fit: all but adaptdl are linear scaling.  A run and a shape are (nodes, GPUs, GPUs per
node, micro-batch), of a run with the part of its time that is not synchronisation; times are seconds.
"""

from collections.abc import Callable

import numpy as np

_NOTHING = -25.0  # the logarithm of no seconds


def linear(runs: np.ndarray, times: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """As many samples per second and GPU as in the largest run."""
    largest = np.lexsort((runs[:, 3], runs[:, 1]))[-1]
    return times[largest] * asked[:, 3] / runs[largest, 3]


def amdahl(runs: np.ndarray, times: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The time of a sample is a serial share and one that G GPUs divide, least squares."""

    if len(runs) == 1:
        return linear(runs, times, asked)

    def terms(x: np.ndarray) -> np.ndarray:
        return np.stack([np.ones(len(x)), 1 / x[:, 1]], 1)

    per_sample = times / (runs[:, 1] * runs[:, 3])
    weights = _nnls(terms(runs) / per_sample[:, None], np.ones(len(runs)))
    return np.maximum(terms(asked) @ weights, 1e-9) * asked[:, 1] * asked[:, 3]


def ernest(runs: np.ndarray, times: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Venkataraman et al., NSDI 2016: non-negative weights of 1, b, log G and G, relative errors."""

    if len(runs) == 1:
        return linear(runs, times, asked)

    def terms(x: np.ndarray) -> np.ndarray:
        return np.stack([np.ones(len(x)), x[:, 3], np.log(x[:, 1]), x[:, 1]], 1)

    return terms(asked) @ _nnls(terms(runs) / times[:, None], np.ones(len(runs)))


def pollux(runs: np.ndarray, times: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Qiao et al., OSDI 2021, section 4: T = (Tgrad^c + Tsync^c)^(1/c), Tgrad = a + b m,
    Tsync = a' + b' (G - 2) within a node and a'' + b'' (G - 2) between; log errors, best of random starts.
    As in its code, what no run shows is left out: growth up to 2 GPUs, all of Tsync on one; between nodes
    costs 1.1 times within while no run has two.
    """
    if len(runs) == 1:
        return linear(runs, times, asked)
    alone, pairs = runs[:, 1].max() < 2, runs[:, 1].max() < 3
    silent = np.array([False, False, alone, pairs, alone, pairs])
    as_near = runs[:, 0].max() < 2

    def seconds(p: np.ndarray, x: np.ndarray) -> np.ndarray:
        p = np.append(np.where(silent, _NOTHING, p[:6]), p[6])
        if as_near:
            p[4:6] = p[2:4] + np.log(1.1)
        return _pollux(p, x)

    def residual(p: np.ndarray) -> np.ndarray:
        errors = np.log(seconds(p, runs) / times) / np.sqrt(len(runs))
        growth = np.exp(np.clip(p[[3, 5]] - p[[2, 4]], -25, 10))  # its penalties: little growth, small c
        return np.concatenate([errors, 0.1 * np.where(pairs, 0, growth), [1e-1**1.5 * (_power(p) - 1)]])

    rng = np.random.default_rng(0)
    base = times.min()
    best, best_loss = None, np.inf
    for _ in range(8):
        start = np.log(base) + rng.normal(-2, 1.5, 6)
        start[1] -= np.log(runs[:, 3].mean())
        fitted, loss = _minimise(residual, np.append(start, rng.normal(0, 1)))
        if loss < best_loss:
            best, best_loss = fitted, loss
    return seconds(best, asked)


def adaptdl(runs: np.ndarray, times: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Pollux's own code, from the package adaptdl: it alone is told the synchronisation of each run."""
    from adaptdl.goodput import GoodputFunction, fit_perf_params  # noqa: PLC0415  not installed everywhere

    fitted = fit_perf_params(runs[:, 0], runs[:, 1], runs[:, 3], runs[:, 4], times)
    speed = GoodputFunction(fitted, (0.0, 1.0), 1).throughput(asked[:, 0], asked[:, 1], asked[:, 3], 0)
    return asked[:, 1] * asked[:, 3] / speed


def _pollux(p: np.ndarray, x: np.ndarray) -> np.ndarray:
    a, b, near, near_more, far, far_more = np.exp(np.clip(p[:6], -25, 10))
    power = _power(p)
    grad, more = a + b * x[:, 3], np.maximum(x[:, 1] - 2, 1e-8)
    sync = np.where(x[:, 0] > 1, far + far_more * more, near + near_more * more)
    sync = np.where(x[:, 1] > 1, sync, 0)
    large = np.maximum(grad, sync)
    return large * ((grad / large) ** power + (sync / large) ** power) ** (1 / power)


def _power(p: np.ndarray) -> float:
    """c, within Pollux's bounds of 1 and 10."""
    return float(1 + 9 / (1 + np.exp(-p[6])))


def _minimise(residual: Callable[[np.ndarray], np.ndarray], p: np.ndarray) -> tuple[np.ndarray, float]:
    """Levenberg-Marquardt with differences, and a hair of pull to the start where data are silent."""
    start = p

    def both(q: np.ndarray) -> np.ndarray:
        return np.append(residual(q), 1e-2 * (q - start))

    r, damping = both(p), 1e-2
    for _ in range(60):
        slopes = np.stack([(both(p + 1e-5 * row) - r) / 1e-5 for row in np.eye(len(p))], 1)
        square = slopes.T @ slopes
        step = np.linalg.solve(
            square + damping * (np.diag(np.diag(square)) + 1e-9 * np.eye(len(p))), -slopes.T @ r
        )
        tried = both(p + step)
        if tried @ tried < r @ r:
            gained = r @ r - tried @ tried
            p, r, damping = p + step, tried, damping * 0.3
            if gained < 1e-7:
                break
        else:
            damping *= 5
    return p, float(r @ r)


def _nnls(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Non-negative least squares by trying every set of active terms: there are four at most."""
    best, best_loss = np.zeros(a.shape[1]), np.inf
    for chosen in range(1, 2 ** a.shape[1]):
        columns = [i for i in range(a.shape[1]) if chosen >> i & 1]
        x = np.linalg.lstsq(a[:, columns], b, rcond=None)[0]
        loss = float(np.sum((a[:, columns] @ x - b) ** 2)) + 1e-9 * len(columns)
        if (x >= 0).all() and loss < best_loss:
            best, best_loss = np.zeros(a.shape[1]), loss
            best[columns] = x
    return best
