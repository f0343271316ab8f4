"""Which run to make next, so that the step times of some shapes are known best.

It is the allowed shape whose run narrows the variance of log T of those shapes most, by the fit to the runs so far.
A shape on fewer GPUs that narrows it nearly as much is preferred: it waits less in the queue, and costs less.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...errors import NotEnoughHistory
from ..job.shape import Shape
from ..measurements.measurement import Measurement
from .model.draws import variance_reductions
from .model.exchange import Links
from .model.points import points_of
from .model.predict import StepTimeModel, fit

_P10_TO_P90_SDS = 2.563  # of a normal distribution
_MOST_KNOWN = 0.98  # of a variance: the next run of the same shape differs too
# The least share of the best narrowing with which a run on fewer GPUs is preferred.
_NEARLY = 0.97


def next_measurement(
    measurements: Sequence[Measurement],
    targets: Sequence[Shape],
    max_gpus: int,
    max_nodes: int = 1,
    links: Links | None = None,
    max_gpus_per_node: int | None = None,
) -> Shape:
    """Return the shape whose run would narrow the step times of `targets` most.

    It has at most `max_gpus` GPUs on at most `max_nodes` nodes, each of which has `max_gpus_per_node`; where that is not
    known, it is the most in `targets` and `measurements`.  Tensor parallelism stays inside a node.

    >>> shape = next_measurement([], [Shape("a100", 2, 16, 8, 32)], max_gpus=8)
    >>> shape.nodes, shape.gpus, shape.batch_size
    (1, 1, 32)
    """
    most = max(*(t.gpus_per_node for t in targets), *(m.gpus_per_node for m in measurements), 1)
    candidates = list(candidate_shapes(targets, max_gpus, max_nodes, max_gpus_per_node or most))
    try:
        return most_informative(fit(measurements, links), candidates, targets)
    except NotEnoughHistory:
        return candidates[0]


def most_informative(model: StepTimeModel, candidates: Sequence[Shape], targets: Sequence[Shape]) -> Shape:
    """Return the first of the candidates whose run narrows the step times of `targets` nearly as much as the best."""
    reductions = _reductions(model, candidates, targets)
    enough = _NEARLY * max(reductions)
    return next(c for c, gain in zip(candidates, reductions, strict=True) if gain >= enough)


def most_informative_per_gpu_second(
    measurements: Sequence[Measurement],
    candidates: Sequence[Shape],
    target: Shape,
    startup_s: float,
    steps: int,
    links: Links | None = None,
) -> Shape:
    """Return the candidate whose run tells most of the step time of `target` for the GPU time that it takes.

    What a run tells is its information on log T, -log(1 - r / v) / 2, where it reduces the variance v by r: two halvings
    of a variance are worth as much as one to a quarter, so the target itself is run where cheaper shapes would only lead
    to it step by step.  A run takes `startup_s`, then `steps` steps as long as the fit to the runs so far expects.
    Without a run the first candidate is returned, which also shows for the least whether the job runs at all.

    >>> shapes = list(candidate_shapes([Shape("a100", 1, 8, 8, 32)], 8, 1, 8))
    >>> most_informative_per_gpu_second([], shapes, shapes[-1], startup_s=60, steps=20).gpus
    1
    """
    try:
        model = fit(measurements, links)
    except NotEnoughHistory:
        return candidates[0]
    (goal,) = model.predict([target])
    variance = (math.log(goal.step_time_s.p90 / goal.step_time_s.p10) / _P10_TO_P90_SDS) ** 2
    reductions = _reductions(model, candidates, [target])
    steps_s = [prediction.step_time_s.p50 for prediction in model.predict(candidates)]
    # A run of the very shape answers for it, whatever the fit expects.
    known = [
        _MOST_KNOWN if shape == target else min(gain / variance, _MOST_KNOWN)
        for shape, gain in zip(candidates, reductions, strict=True)
    ]
    per_gpu_s = [
        -math.log1p(-share) / (shape.gpus * (startup_s + steps * step_s))
        for shape, share, step_s in zip(candidates, known, steps_s, strict=True)
    ]
    return candidates[per_gpu_s.index(max(per_gpu_s))]


def _reductions(model: StepTimeModel, candidates: Sequence[Shape], targets: Sequence[Shape]) -> list[float]:
    """How much a run of each candidate narrows the variance of log T, summed over the targets."""
    posterior = model.fit_kind(targets[0]).posterior
    at, wanted = points_of(candidates, model.hidden_size), points_of(targets, model.hidden_size)
    reductions: list[float] = variance_reductions(posterior, at, wanted).sum(1).tolist()
    return reductions


def candidate_shapes(
    targets: Sequence[Shape], max_gpus: int, max_nodes: int, max_gpus_per_node: int
) -> Iterator[Shape]:
    """Yield the targets' micro-batches and about a third of each, on 1, 2, 4, ... GPUs of 1, 2, 4, ... nodes; fewest GPUs first.

    The GPUs of the first target are among them, as its split may divide no other.
    """
    target = targets[0]
    whole = min(target.layout.tensor_parallel, target.gpus_per_node)
    sizes = sorted(
        {size for t in targets for size in (t.batch_size, _about_a_third(t.batch_size))}, reverse=True
    )
    counts = {
        (nodes * each, nodes, each)
        for nodes in _doublings(max_nodes)
        for each in _doublings(min(max_gpus_per_node, max_gpus))
        if nodes * each <= max_gpus and each % whole == 0 and nodes * each % target.model_parallel == 0
    }
    if not counts or (target.gpus <= max_gpus and target.nodes <= max_nodes):
        counts.add((target.gpus, target.nodes, target.gpus_per_node))
    for gpus, nodes, each in sorted(counts):
        for size in sizes:
            yield replace(target, nodes=nodes, gpus=gpus, gpus_per_node=each, batch_size=size)


def _doublings(most: int) -> list[int]:
    powers = [2**i for i in range(most.bit_length())]
    return sorted({*powers, most})


def _about_a_third(size: int) -> int:
    """Return the divisor nearest to a third: kernels are tuned for powers of two, and others would mislead.

    >>> [_about_a_third(size) for size in (32, 24, 20, 16, 8, 1)]
    [8, 8, 5, 4, 2, 1]
    """
    divisors = [part for part in range(1, size // 2 + 1) if size % part == 0] or [1]
    return min(divisors, key=lambda part: abs(math.log(3 * part / size)))
