"""Steps that wait for their input: what the runs tell of the loader, and how long steps of another shape wait.

W is the time that GPUs and network take, w the share of a step that waits, b micro-batch, a micro-batches per step, g
GPUs per node, G in all.  A reader of r samples/s serves one GPU (its process), the GPUs of a node (its processors or its
disk) or all of them (shared storage): reading takes D = b a / r, b a g / r or b a G / r, and

    T = max(W, D)   where the loader reads ahead of the step          w T = D - W
    T = W + D       where reading and computing take turns            w T = D

A faster GPU shortens W alone.  One run cannot tell which of the six loaders it has; several may, for T >= D in all.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from statistics import fmean, median
from typing import NamedTuple

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_significant
from ..job.shape import Shape
from ..measurements.measurement import Measurement
from ..ranges import Range

# The least share that counts as waiting: a loader that keeps up still costs a few per cent, and busy shares are noisier.
_LEAST_WAIT, _LEAST_IDLE = 0.05, 0.1
# If log(D / W) is uniform, a share w is 1 / w times as likely where the two take turns; most loaders read ahead.
_LIKELY_AHEAD = 1 / 3
_RATE_SD = 0.15  # of log r between runs of one loader
_SPREAD = 0.05  # repeats of one shape differ by 4 to 6 %


class Scope(StrEnum):
    """What one reader serves."""

    GPU = "GPU"
    NODE = "node"
    JOB = "job"


@dataclass(frozen=True)
class Loader:
    """The reader of the samples, with `rate` in samples/s for all that it serves.

    `ahead`: it reads the next batch while the GPUs compute.
    """

    ahead: bool
    scope: Scope
    rate: float

    def step_s(self, work_s: float, shape: Shape, slower: float = 1.0) -> float:
        """Return the seconds of a step that computes for `work_s`, with a reader that is `slower` times as slow."""
        read_s = _samples_to_read(shape, self.scope) / self.rate * slower
        return max(work_s, read_s) if self.ahead else work_s + read_s


def infer_loaders(runs: Sequence[Measurement]) -> tuple[Loader, ...]:
    """Return the loaders that the runs allow, the likeliest first; none if no run is known to wait."""
    shares = waiting_shares(runs)
    waiting = [(m, w) for m, w in zip(runs, shares, strict=True) if w]
    if not waiting:
        return ()
    misfit: dict[Loader, float] = {}
    for ahead, scope in product((True, False), Scope):
        log_rates = [
            math.log(_samples_to_read(m, scope) / (m.step_time_s * (1 if ahead else w))) for m, w in waiting
        ]
        log_rate = fmean(log_rates)
        # A run that does not wait says only that the rate is at least this.
        least_log_rates = [
            math.log(
                _samples_to_read(m, scope) / (m.step_time_s * (1 if ahead or w is None else _LEAST_WAIT))
            )
            for m, w in zip(runs, shares, strict=True)
            if not w
        ]
        shortfalls = (max(x - log_rate, 0) for x in least_log_rates)
        misfit[Loader(ahead, scope, math.exp(log_rate))] = sum((x - log_rate) ** 2 for x in log_rates) + sum(
            x**2 for x in shortfalls
        )
    limit = min(misfit.values()) + (2 * _RATE_SD) ** 2
    likely_ahead = median(w for _, w in waiting) > _LIKELY_AHEAD

    def unlikely(loader: Loader) -> tuple[bool, bool, bool]:
        # Where the loader reads ahead, the processors or the storage of a node are the limit; otherwise the process of
        # each GPU is.
        return (
            loader.ahead != likely_ahead,
            (loader.scope is Scope.GPU) == loader.ahead,
            loader.scope is Scope.JOB,
        )

    return tuple(sorted((loader for loader in misfit if misfit[loader] <= limit), key=unlikely))


def with_input_wait(work: Range, loaders: Sequence[Loader], shape: Shape) -> Range:
    """Return the step time where GPUs and network take `work`, as wide as the possible loaders make it."""
    if not loaders:
        return work
    return Range(
        min(x.step_s(work.p10, shape, 1 / (1 + _SPREAD)) for x in loaders),
        loaders[0].step_s(work.p50, shape),
        max(x.step_s(work.p90, shape, 1 + _SPREAD) for x in loaders),
    )


def describe_wait(step_s: float, input_s: float, samples: float, loaders: Sequence[Loader]) -> str:
    """Return in words that a step of `samples` waits `input_s` of its `step_s` seconds, what shortens that, and what does not.

    >>> describe_wait(2.0, 1.0, 512, [Loader(True, Scope.NODE, 256.0)]).rpartition("; ")[2]
    'more GPUs on a node would only wait longer, more nodes read for themselves'
    """
    gives, could = (format_significant(samples / seconds) for seconds in (step_s, step_s - input_s))
    return (
        f"{input_s / step_s:.0%} of a step waits for input, which gives {gives} samples/s where these GPUs could take {could}: "
        "more workers of the data loader, faster storage or data prepared before shorten that, a faster GPU does not; "
        f"{_describe_wider({loader.scope for loader in loaders})}"
    )


def _describe_wider(scopes: Collection[Scope]) -> str:
    """What more GPUs do where the readers may serve one GPU, a node, or the whole job."""
    if Scope.GPU in scopes:
        return "more GPUs read for themselves" if len(scopes) == 1 else "more GPUs may only wait longer"
    if Scope.NODE not in scopes:
        return "more GPUs would only wait longer"
    nodes = "more nodes may too" if Scope.JOB in scopes else "more nodes read for themselves"
    return f"more GPUs on a node would only wait longer, {nodes}"


def waiting_shares(runs: Sequence[Measurement]) -> list[float | None]:
    """Return the share of each run's step that waited for input: 0 if it is too small to tell, None if not known.

    Where only the busy share of the GPUs is known, it is compared with the busiest run of the same work per GPU.
    """
    busiest: dict[_GpuWork, list[float]] = {}
    for m in runs:
        if m.busy_share:
            busiest.setdefault(_gpu_work(m), []).append(m.busy_share)
    shares: list[float | None] = []
    for m in runs:
        if m.data_wait_share is not None:
            shares.append(min(m.data_wait_share, 0.99) if m.data_wait_share >= _LEAST_WAIT else 0.0)
        elif m.busy_share and len(busiest[_gpu_work(m)]) > 1:
            idle = 1 - m.busy_share / max(busiest[_gpu_work(m)])
            shares.append(idle if idle >= _LEAST_IDLE else 0.0)
        else:
            shares.append(None)
    return shares


class _GpuWork(NamedTuple):
    """The work of one GPU in a step, however many GPUs there are."""

    gpu: str | None
    precision: Precision
    seq_len: int | None
    batch_size: int
    accumulation: int


def _gpu_work(m: Measurement) -> _GpuWork:
    return _GpuWork(m.gpu, m.precision, m.seq_len, m.batch_size, m.accumulation)


def _samples_to_read(shape: Shape | Measurement, scope: Scope) -> float:
    """Samples of one step that one reader has to read."""
    samples = shape.batch_size * shape.accumulation
    return samples * {Scope.GPU: 1.0, Scope.NODE: shape.gpus / shape.nodes, Scope.JOB: shape.gpus}[scope]
