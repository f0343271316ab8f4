"""Which run to make next, so that the step times that are wanted are known best.

Of the shapes allowed, the one whose run narrows the wanted shapes' variance of log T most, by the fit to what was
measured so far; one that does nearly as much on fewer GPUs is preferred, since it waits and costs less.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...errors import NotEnoughHistory
from ..job.shape import Shape
from ..measurements.measurement import Measurement
from .links import Links
from .observations import shape_arrays
from .posterior import variance_reductions
from .predict import StepTimeModel, fit

# A run on fewer GPUs is taken where it narrows at least this share of what the best would.
_NEARLY = 0.97


def next_measurement(
    measurements: Sequence[Measurement],
    wanted: Sequence[Shape],
    max_gpus: int,
    max_nodes: int = 1,
    links: Links | None = None,
) -> Shape:
    """The shape, of those allowed, whose run would narrow the wanted ones most.

    >>> next_measurement([], [Shape("a100", 2, 16, 8, 32)], max_gpus=8)
    Shape(gpu='a100', nodes=1, gpus=1, gpus_per_node=1, batch_size=32, accumulation=1, model_parallel=1, precision=<Precision.AUTO: 'auto'>, seq_len=None)
    """
    candidates = list(_candidates(measurements, wanted, max_gpus, max_nodes))
    try:
        model = fit(measurements, links)
    except NotEnoughHistory:
        return candidates[0]
    return most_telling(model, candidates, wanted)


def most_telling(model: StepTimeModel, candidates: Sequence[Shape], wanted: Sequence[Shape]) -> Shape:
    """The first of the candidates whose run narrows the wanted ones about as much as any."""
    narrowed = variance_reductions(
        model.learned(wanted[0]).posterior, shape_arrays(candidates), shape_arrays(wanted)
    ).sum(1)
    enough = _NEARLY * max(narrowed)
    return next(c for c, gain in zip(candidates, narrowed, strict=True) if gain >= enough)


def _candidates(
    measurements: Sequence[Measurement], wanted: Sequence[Shape], max_gpus: int, max_nodes: int
) -> Iterator[Shape]:
    """The wanted batches and a third of each, on 1, 2, 4, ... GPUs of 1, 2, 4, ... nodes; fewest GPUs first."""
    widest = max(*(q.gpus_per_node for q in wanted), *(m.gpus_per_node for m in measurements), 1)
    sizes = sorted({size for q in wanted for size in (q.batch_size, max(q.batch_size // 3, 1))}, reverse=True)
    counts = [
        (nodes * each, nodes, each)
        for nodes in _doublings(max_nodes)
        for each in _doublings(min(widest, max_gpus))
        if nodes * each <= max_gpus
    ]
    for gpus, nodes, each in sorted(counts):
        for size in sizes:
            yield replace(wanted[0], nodes=nodes, gpus=gpus, gpus_per_node=each, batch_size=size)


def _doublings(most: int) -> list[int]:
    powers = [2**i for i in range(most.bit_length())]
    return sorted({*powers, most})
