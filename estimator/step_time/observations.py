"""Runs as the arrays that the step model is fitted to: one row per point that it can tell apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np

from ..job.shape import Shape
from ..measurements.measurement import Measurement
from .input_wait import waiting_shares
from .model import Array, Points

# The most points that one fit looks at, so that it takes milliseconds, whatever the history holds.
MOST_POINTS = 48


@dataclass(frozen=True)
class Observations:
    """The logarithm of the measured time at each of n points, over how many runs, and the doubt in it.

    `doubt` is a variance of log T that is added where a run is suspect; it is 0 elsewhere.
    """

    at: Points
    log_time: Array
    runs: Array
    doubt: Array


class _Point(NamedTuple):
    """The part of a shape that the step model depends on, for one GPU type, precision and sequence length."""

    nodes: int
    gpus: int
    batch_size: int
    accumulation: int


def group_by_point(runs: Sequence[Measurement]) -> list[list[Measurement]]:
    """Return the runs grouped by point; of more than `MOST_POINTS` points, those furthest from each other."""
    groups: dict[_Point, list[Measurement]] = {}
    for m in runs:
        groups.setdefault(_Point(m.nodes, m.gpus, m.batch_size, m.accumulation), []).append(m)
    points = sorted(groups)
    if len(points) > MOST_POINTS:
        points = _furthest_apart(points)
    return [groups[point] for point in points]


def _furthest_apart(points: list[_Point]) -> list[_Point]:
    """`MOST_POINTS` of the points: the first, then again and again the one furthest from those chosen."""
    position = np.log2(np.array(points, float))
    chosen, distance = [0], np.full(len(points), np.inf)
    while len(chosen) < MOST_POINTS:
        distance = np.minimum(distance, np.sum((position - position[chosen[-1]]) ** 2, 1))
        chosen.append(int(np.argmax(distance)))
    return [points[i] for i in sorted(chosen)]


def observe(runs: Sequence[Measurement], doubts: dict[int, float]) -> Observations:
    """Return the time that GPUs and network took at each point, without the wait for input.

    `doubts` are variances of log T by the `id` of a run; see `Suspect`.
    """
    groups = group_by_point(runs)
    work_s = {id(m): m.step_time_s * (1 - (w or 0)) for m, w in zip(runs, waiting_shares(runs), strict=True)}
    return Observations(
        points_of([group[0] for group in groups]),
        np.array([median(math.log(work_s[id(m)]) for m in group) for group in groups]),
        np.array([float(len(group)) for group in groups]),
        np.array([max(doubts.get(id(m), 0.0) for m in group) for group in groups]),
    )


def points_of(shapes: Sequence[Shape | Measurement]) -> Points:
    """Return the shapes as points of the step model, in their order."""
    rows = [(s.nodes, s.gpus / s.nodes, s.batch_size, s.accumulation) for s in shapes]
    table = np.array(rows, float).reshape(-1, 4)
    return Points(*table.T)
