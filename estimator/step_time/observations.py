"""Runs as the arrays that the step model is fitted to: a row a configuration."""

import math
from collections.abc import Sequence
from statistics import median

import numpy as np

from ..job.shape import Shape
from ..measurements.measurement import Measurement
from .input_wait import waiting_shares
from .model import Points
from .posterior import Observations

# The most configurations that one fit looks at: it stays within milliseconds, whatever the history holds.
MOST_CONFIGURATIONS = 48


def configurations(runs: Sequence[Measurement]) -> list[list[Measurement]]:
    """The runs by configuration; of too many configurations those furthest from each other."""
    groups: dict[tuple[int, ...], list[Measurement]] = {}
    for m in runs:
        groups.setdefault((m.nodes, m.gpus, m.batch_size, m.accumulation), []).append(m)
    keys = sorted(groups)
    if len(keys) > MOST_CONFIGURATIONS:
        keys = _furthest(keys)
    return [groups[key] for key in keys]


def _furthest(keys: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    place = np.log2(np.array(keys, float))
    chosen, apart = [0], np.full(len(keys), np.inf)
    while len(chosen) < MOST_CONFIGURATIONS:
        apart = np.minimum(apart, np.sum((place - place[chosen[-1]]) ** 2, 1))
        chosen.append(int(np.argmax(apart)))
    return [keys[i] for i in sorted(chosen)]


def observe(runs: Sequence[Measurement], doubt: dict[int, float]) -> Observations:
    """What the GPUs and the network took in each configuration: a wait for input is not theirs."""
    groups = configurations(runs)
    work = {id(m): m.step_time_s * (1 - (w or 0)) for m, w in zip(runs, waiting_shares(runs), strict=True)}
    return Observations(
        shape_arrays([group[0] for group in groups]),
        np.array([median(math.log(work[id(m)]) for m in group) for group in groups]),
        np.array([float(len(group)) for group in groups]),
        np.array([max(doubt.get(id(m), 0.0) for m in group) for group in groups]),
    )


def shape_arrays(shapes: Sequence[Shape | Measurement]) -> Points:
    rows = [(s.nodes, s.gpus / s.nodes, s.batch_size, s.accumulation) for s in shapes]
    table = np.array(rows, float).reshape(-1, 4)
    return Points(*table.T)
