"""Suspects: runs whose step time cannot be right, alone or beside the other runs, each with the reason."""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median_low

from ...cluster_profiles.units import format_significant, plural
from .measurement import Measurement

# A step is no shorter than that of a smaller micro-batch, and at most as many times longer as it has samples.  The worst
# pair in the series of Pollux, Sia and Gavel is 11 times beyond that (NCF on 1 GPU and on 48 of 16 nodes).  The second
# factor is for runs on other GPU types or in other precisions.
_UNITS, _UNITS_OTHER_KIND = 30.0, 300.0
_COMPARED = 64  # the most runs that each is compared with

# Seconds of a micro-batch: launching one kernel takes microseconds, and 1e8 s are years.
_SHORTEST_S, _LONGEST_S = 1e-6, 1e8

# The most that one GPU of many does, over one GPU of few, at the same batch.
_SUPER_LINEAR = 1.25


@dataclass(frozen=True)
class Suspect:
    """One suspect run; `kind` is invalid, units, super-linear or outlier, and `text` the reason.

    `doubt` is a variance that is added to that of log T, so that the run weighs less; 0 leaves the run out.
    """

    measurement: Measurement
    kind: str
    text: str
    doubt: float

    def __str__(self) -> str:
        m = self.measurement
        source = f" ({m.source})" if m.source else ""
        shape = f"{plural(m.gpus, 'GPU')} with a micro-batch of {m.batch_size:,}"
        step = f"{m.step_time_s:g}" if self.kind == "invalid" else format_significant(m.step_time_s)
        return f"{shape} at {step} s per step{source}: {self.text}"


def find_suspects(measurements: Sequence[Measurement]) -> list[Suspect]:
    """Return the runs that are wrong alone, or beside another, without a model of the rest."""
    suspects = list(_invalid(measurements))
    for runs in _group(_others(measurements, suspects), lambda m: m.seq_len):
        suspects += _units(runs, _UNITS_OTHER_KIND)
    for runs in _group(_others(measurements, suspects), lambda m: (m.gpu, m.precision, m.seq_len)):
        units = list(_units(runs, _UNITS))
        suspects += units
        for alike in _group(_others(runs, units), _strategy_and_cluster):
            suspects += _super_linear(alike)
    return suspects


def _strategy_and_cluster(m: Measurement) -> Hashable:
    """What decides the rate of one GPU besides the counts: a faster link or a coarser split is no mistake."""
    return (
        m.model_parallel,
        m.shape.tensor_parallel,
        m.shape.pipeline_parallel,
        m.zero_stage,
        m.trainable_parameters,
        m.cluster,
    )


def _group(
    measurements: Sequence[Measurement], key: Callable[[Measurement], Hashable]
) -> list[list[Measurement]]:
    groups: dict[Hashable, list[Measurement]] = {}
    for m in measurements:
        groups.setdefault(key(m), []).append(m)
    return list(groups.values())


def _others(measurements: Sequence[Measurement], suspects: Sequence[Suspect]) -> list[Measurement]:
    suspect_ids = {id(s.measurement) for s in suspects}
    return [m for m in measurements if id(m) not in suspect_ids]


def _invalid(measurements: Sequence[Measurement]) -> Iterator[Suspect]:
    for m in measurements:
        if min(m.nodes, m.gpus, m.batch_size, m.accumulation) < 1 or m.gpus < m.nodes:
            text = f"{m.gpus} GPUs on {m.nodes} nodes, batch {m.batch_size} x {m.accumulation}"
            yield Suspect(m, "invalid", text, 0.0)
        elif not _SHORTEST_S <= m.step_time_s / m.accumulation <= _LONGEST_S:
            yield Suspect(m, "invalid", "no step takes that long or that little", 0.0)


def _units(runs: Sequence[Measurement], most: float) -> Iterator[Suspect]:
    """Runs over `most` times from what the others allow.

    Where as many runs stand against as many, the shorter are right: people take milliseconds for seconds.
    """
    ordered = sorted(runs, key=lambda m: (m.batch_size, m.gpus, m.step_time_s))
    compared = [
        (m.batch_size, m.step_time_s / m.accumulation) for m in ordered[:: len(ordered) // _COMPARED or 1]
    ]

    @cache
    def allowed(batch_size: int) -> tuple[float, float]:
        growth = [(batch_size / other, pass_s) for other, pass_s in compared]
        return (
            median_low(pass_s * min(factor, 1) for factor, pass_s in growth),
            median_low(pass_s * max(factor, 1) for factor, pass_s in growth),
        )

    for m in runs:
        pass_s, (least, longest) = m.step_time_s / m.accumulation, allowed(m.batch_size)
        if max(pass_s / longest, least / pass_s) > most:
            factor, way = (pass_s / longest, "slower") if pass_s > longest else (least / pass_s, "faster")
            text = (
                f"{format_significant(factor, 2)} times {way} than the other runs allow: is its unit seconds?"
            )
            yield Suspect(m, "units", text, math.log(factor) ** 2)


def _super_linear(runs: Sequence[Measurement]) -> Iterator[Suspect]:
    best: dict[tuple[int, int], tuple[int, float, Measurement]] = {}  # by batch: GPUs and rate of the best
    suspect_ids = set[int]()
    for m in sorted(runs, key=lambda m: m.gpus):
        key, rate = (m.batch_size, m.accumulation), _gpu_rate(m)
        gpus, most, fewer = best.get(key, (m.gpus, rate, m))
        if gpus < m.gpus and rate > _SUPER_LINEAR * most:
            ratio = rate / most
            text = (
                f"each of {m.gpus} GPUs does {ratio:.2f} times what each of {gpus} does at that micro-batch"
            )
            for one in (m, fewer):
                if id(one) not in suspect_ids:
                    suspect_ids.add(id(one))
                    yield Suspect(one, "super-linear", text, math.log(ratio) ** 2 / 2)
        if rate >= most:
            best[key] = m.gpus, rate, m


def _gpu_rate(m: Measurement) -> float:
    """Samples/s of one GPU."""
    return m.batch_size * m.accumulation / m.step_time_s
