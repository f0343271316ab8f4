"""Predict step times as others have published it: the methods that accuracy.py compares ours with.

Each is a function of the runs of one series and of the shapes that are asked, and returns a time per shape, in seconds.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from measured_runs import Run
from numpy.typing import NDArray
from protocols import work

Array = NDArray[np.float64]

_NOTHING = -25.0  # the logarithm of no seconds


def linear(runs: Sequence[Run], asked: Sequence[Run]) -> Array:
    """Scale the time per sample and GPU of the run that is nearest: in GPUs first, then in batch."""

    def scaled(shape: Run) -> float:
        def distance(run: Run) -> float:
            return 2 * abs(math.log(run.gpus / shape.gpus)) + abs(math.log(work(run) / work(shape)))

        nearest = min(runs, key=distance)
        return nearest.step_time_s * work(shape) / work(nearest)

    return np.array([scaled(shape) for shape in asked])


def ernest(runs: Sequence[Run], asked: Sequence[Run]) -> Array:
    """Fit non-negative weights of 1, work, log G and G to relative errors (Venkataraman et al., NSDI 2016)."""

    def terms(x: Sequence[Run]) -> Array:
        return np.array([[1, work(r), math.log(r.gpus), r.gpus] for r in x], float)

    times = np.array([r.step_time_s for r in runs])
    relative = terms(runs) / times[:, None]
    scale = np.abs(relative).max(0) + 1e-12
    seconds: Array = np.maximum(terms(asked) / scale @ _nnls(relative / scale, np.ones(len(runs))), 1e-5)
    return seconds


def pollux(runs: Sequence[Run], asked: Sequence[Run]) -> Array:
    """Fit T = (Tgrad^c + Tsync^c)^(1/c) to log errors, from random starts (Qiao et al., OSDI 2021, section 4).

    Tgrad = a + b m; Tsync = a' + b' (G - 2) within a node, a'' + b'' (G - 2) between nodes; m is the micro-batch, so it
    knows no layout.  As in its code, terms that no run shows are left out: growth up to 2 GPUs, all of Tsync on one
    GPU.  A network between nodes costs 1.1 times one within, while no run has two nodes.  One run is scaled linearly.
    """
    if len(runs) == 1:
        return linear(runs, asked)
    x, queries = _columns(runs), _columns(asked)
    times = np.array([r.step_time_s for r in runs])
    single, pairs = x[:, 1].max() < 2, x[:, 1].max() < 3
    left_out = np.array([False, False, single, pairs, single, pairs])
    one_node = x[:, 0].max() < 2

    def seconds(p: Array, x: Array) -> Array:
        p = np.append(np.where(left_out, _NOTHING, p[:6]), p[6])
        if one_node:
            p[4:6] = p[2:4] + np.log(1.1)
        return _pollux(p, x)

    def residual(p: Array) -> Array:
        errors = np.log(seconds(p, x) / times) / np.sqrt(len(runs))
        growth = np.exp(np.clip(p[[3, 5]] - p[[2, 4]], -25, 10))  # its penalties: little growth, small c
        return np.concatenate([errors, 0.1 * np.where(pairs, 0, growth), [1e-1**1.5 * (_power(p) - 1)]])

    rng = np.random.default_rng(0)
    best, best_loss = np.zeros(7), np.inf
    for _ in range(8):
        start = np.log(times.min()) + rng.normal(-2, 1.5, 6)
        start[1] -= np.log(x[:, 2].mean())
        solution, loss = _minimise(residual, np.append(start, rng.normal(0, 1)))
        if loss < best_loss:
            best, best_loss = solution, loss
    return seconds(best, queries)


def _columns(runs: Sequence[Run]) -> Array:
    return np.array([[r.nodes, r.gpus, r.batch_size] for r in runs], float)


def _pollux(p: Array, x: Array) -> Array:
    a, b, near, near_more, far, far_more = np.exp(np.clip(p[:6], -25, 10))
    power = _power(p)
    grad, more = a + b * x[:, 2], np.maximum(x[:, 1] - 2, 1e-8)
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
