"""Runs as the arrays that the step model is fitted to: one row per shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from ...job.shape import Shape
from ...measurements.measurement import Measurement
from ..input_wait import waiting_shares
from .parameters import Array
from .points import Points, points_of

# The most shapes that one fit looks at, so that it takes milliseconds, whatever the history holds.
MOST_SHAPES = 32


@dataclass(frozen=True)
class RunsOfKind:
    """Runs of one model on one GPU type in one precision, beside those of the job's own kind.

    `log_ratio` is the logarithm of their compute time over that of the job's kind, known to `ratio_sd`; `network_sd` is
    how far their network differs.  `published` says where the ratio is from; it is empty if nobody published one.
    """

    runs: tuple[Measurement, ...]
    log_ratio: float = 0.0
    ratio_sd: float = 0.0
    network_sd: float = 0.0
    published: str = ""


@dataclass(frozen=True)
class Observations:
    """The logarithm of the measured time in each of n shapes, over how many runs, and the doubt in it.

    `doubt` is a variance of log T that is added where a run is suspect, or of another kind.  `kind` numbers the GPU
    type and precision of the runs, 0 for the job's own.  All of another kind are off by one factor, known to
    `ratio_sd`, and their network by one more, known to `network_sd`; both are 0 for the own kind.
    """

    at: Points
    log_time: Array
    runs: Array
    doubt: Array
    kind: Array
    ratio_sd: Array
    network_sd: Array

    @property
    def own_shapes(self) -> int:
        """Return the number of shapes of the job's own kind."""
        return int(np.sum(self.kind == 0))


def group_by_shape(runs: Sequence[Measurement]) -> list[list[Measurement]]:
    """Return the runs grouped by shape; of more than `MOST_SHAPES` shapes, those furthest from each other."""
    groups: dict[Shape, list[Measurement]] = {}
    for m in sorted(runs, key=lambda m: (m.nodes, m.gpus, m.batch_size, m.accumulation)):
        groups.setdefault(m.shape, []).append(m)
    shapes = list(groups)
    if len(shapes) > MOST_SHAPES:
        shapes = _furthest_apart(shapes)
    return [groups[shape] for shape in shapes]


def _furthest_apart(shapes: list[Shape]) -> list[Shape]:
    """`MOST_SHAPES` of the shapes: the first, then again and again the one furthest from those chosen."""
    rows = [(s.nodes, s.gpus, s.batch_size, s.accumulation, s.seq_len or 1, *s.layout[:2]) for s in shapes]
    position = np.log2(np.array(rows, float))
    chosen, distance = [0], np.full(len(shapes), np.inf)
    while len(chosen) < MOST_SHAPES:
        distance = np.minimum(distance, np.sum((position - position[chosen[-1]]) ** 2, 1))
        chosen.append(int(np.argmax(distance)))
    return [shapes[i] for i in sorted(chosen)]


def observe(
    kinds: Sequence[RunsOfKind], doubts: dict[int, float], hidden_size: float | None = None
) -> Observations:
    """Return the time that GPUs and network took in each shape, without the wait for input.

    `kinds` begin with the job's own.  `doubts` are variances of log T by the `id` of a run; see `Suspect`.
    """
    groups = [(i, kind, group) for i, kind in enumerate(kinds) for group in group_by_shape(kind.runs)]
    work_s = {
        id(m): m.step_time_s * (1 - (w or 0))
        for kind in kinds
        for m, w in zip(kind.runs, waiting_shares(kind.runs), strict=True)
    }
    columns = [
        (
            median(math.log(work_s[id(m)]) for m in group) - kind.log_ratio,
            len(group),
            # Half of what is not known of a ratio depends on the shape, half is common to all.
            max(doubts.get(id(m), 0.0) for m in group) + kind.ratio_sd**2 / 2,
            i,
            kind.ratio_sd / math.sqrt(2),
            kind.network_sd,
        )
        for i, kind, group in groups
    ]
    return Observations(
        points_of([group[0] for _, _, group in groups], hidden_size),
        *np.array(columns, float).reshape(-1, 6).T,
    )
