"""Steps that wait for their input, and how long those of another shape will.

W is what GPUs and network take, w the share of a step that waited, b micro-batch, a micro-batches a step, g GPUs
per node.  Reading takes D = b a g / r where the GPUs of a node share what reads, b a / r where each has its own, and

    T = max(W, D)   where it goes on ahead of the step     w T = D - W
    T = W + D       where the two take turns               w T = D

A faster GPU shortens W alone.  One run cannot tell which of the four it is; the others may, for T >= D in all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, median

from ..job.shape import Shape
from ..measurements.measurement import Measurement
from ..ranges import Range

# A loader that keeps up still costs the step a few per cent; of GPUs less busy than others, noise is more.
_WAITS, _IDLES = 0.05, 0.1
# For log D / W anywhere alike, a share w is 1 / w times as likely where they take turns; most loaders go ahead.
_LIKELY_AHEAD = 1 / 3
_RATE_SD = 0.15  # of log r between runs of one loader
_SPREAD = 0.05  # repeats of one configuration differ by 4 to 6 %


@dataclass(frozen=True)
class Loader:
    """What reads the samples: `rate` in samples/s of a node, or of one GPU."""

    ahead: bool
    by_node: bool
    rate: float

    def step_s(self, work_s: float, shape: Shape, slower: float = 1.0) -> float:
        read_s = _demand(shape, by_node=self.by_node) / self.rate * slower
        return max(work_s, read_s) if self.ahead else work_s + read_s


def infer_loaders(runs: Sequence[Measurement]) -> tuple[Loader, ...]:
    """Those that the runs allow, the likeliest first; none where no run is known to wait."""
    shares = waiting_shares(runs)
    waiting = [(m, w) for m, w in zip(runs, shares, strict=True) if w]
    if not waiting:
        return ()
    off: dict[Loader, float] = {}
    for ahead, by_node in product((True, False), (True, False)):
        seen = [
            math.log(_demand(m, by_node=by_node) / (m.step_time_s * (1 if ahead else w))) for m, w in waiting
        ]
        rate = fmean(seen)
        least = [
            math.log(_demand(m, by_node=by_node) / (m.step_time_s * (1 if ahead or w is None else _WAITS)))
            for m, w in zip(runs, shares, strict=True)
            if not w
        ]
        too_slow = (max(x - rate, 0) for x in least)
        off[Loader(ahead, by_node, math.exp(rate))] = sum((x - rate) ** 2 for x in seen) + sum(
            x**2 for x in too_slow
        )
    limit = min(off.values()) + (2 * _RATE_SD) ** 2
    likely_ahead = median(w for _, w in waiting) > _LIKELY_AHEAD

    def unlikely(loader: Loader) -> tuple[bool, bool]:
        # Ahead of the step a node's processors or its storage are the limit, in turn each GPU's own process.
        return loader.ahead != likely_ahead, loader.by_node != loader.ahead

    return tuple(sorted((loader for loader in off if off[loader] <= limit), key=unlikely))


def with_input_wait(work: Range, allowed: Sequence[Loader], shape: Shape) -> Range:
    """The step whose GPUs and network take `work`, as wide as the loaders that may be."""
    if not allowed:
        return work
    return Range(
        min(x.step_s(work.p10, shape, 1 / (1 + _SPREAD)) for x in allowed),
        allowed[0].step_s(work.p50, shape),
        max(x.step_s(work.p90, shape, 1 + _SPREAD) for x in allowed),
    )


def waiting_shares(runs: Sequence[Measurement]) -> list[float | None]:
    """The share of each run's step that waited, 0 where too little to tell of; None is not known.

    Where only the GPUs' busy share is known, what they are less busy than the busiest of the same micro-batch.
    """
    busiest: dict[tuple[object, ...], list[float]] = {}
    for m in runs:
        if m.busy_share:
            busiest.setdefault(_work_of(m), []).append(m.busy_share)
    found: list[float | None] = []
    for m in runs:
        if m.data_wait_share is not None:
            found.append(min(m.data_wait_share, 0.99) if m.data_wait_share >= _WAITS else 0.0)
        elif m.busy_share and len(busiest[_work_of(m)]) > 1:
            idle = 1 - m.busy_share / max(busiest[_work_of(m)])
            found.append(idle if idle >= _IDLES else 0.0)
        else:
            found.append(None)
    return found


def _work_of(m: Measurement) -> tuple[object, ...]:
    return m.gpu, m.precision, m.seq_len, m.batch_size, m.accumulation


def _demand(of: "Measurement | Shape", *, by_node: bool) -> float:
    """Samples of one step that one reader has to read."""
    samples = of.batch_size * of.accumulation
    return samples * of.gpus / of.nodes if by_node else float(samples)
