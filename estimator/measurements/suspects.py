"""Runs whose step time cannot be right, or not beside the others, each with one line that says why."""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median_low

from ...cluster_profiles.units import format_significant, plural
from .measurement import Measurement

# A step is no shorter than that of a smaller micro-batch, and no longer than by as many samples as it has more: the
# worst pair is 11 times beyond that in the series of Pollux, Sia and Gavel (NCF on 1 GPU and on 48 of 16 nodes).
_UNITS, _UNITS_OTHER_KIND = 30.0, 300.0
_COMPARED = 64  # runs with which each is compared, however many there are

# Of a micro-batch: launching one kernel takes microseconds, and 1e8 s are years.
_SHORTEST_S, _LONGEST_S = 1e-6, 1e8

# One GPU of many that does more than this times the work of one of few, at the same batch.
_SUPER_LINEAR = 1.25


@dataclass(frozen=True)
class Suspect:
    """One run under suspicion: `kind` is invalid, units, super-linear or outlier.

    `doubt` is the variance of the logarithm of its time that is added for it; 0 leaves the run out.
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
        return f"{shape} at {step} s a step{source}: {self.text}"


def find_suspects(measurements: Sequence[Measurement]) -> list[Suspect]:
    """What is wrong with single runs, and between two, without a model of the rest."""
    found = list(_invalid(measurements))
    for runs in _alike(_others(measurements, found), lambda m: m.seq_len):
        found += _units(runs, _UNITS_OTHER_KIND)
    for runs in _alike(_others(measurements, found), lambda m: (m.gpu, m.precision, m.seq_len)):
        units = list(_units(runs, _UNITS))
        found += units
        found += _super_linear(_others(runs, units))
    return found


def _alike(
    measurements: Sequence[Measurement], key: Callable[[Measurement], Hashable]
) -> list[list[Measurement]]:
    groups: dict[Hashable, list[Measurement]] = {}
    for m in measurements:
        groups.setdefault(key(m), []).append(m)
    return list(groups.values())


def _others(measurements: Sequence[Measurement], found: Sequence[Suspect]) -> list[Measurement]:
    bad = {id(s.measurement) for s in found}
    return [m for m in measurements if id(m) not in bad]


def _invalid(measurements: Sequence[Measurement]) -> Iterator[Suspect]:
    for m in measurements:
        if min(m.nodes, m.gpus, m.batch_size, m.accumulation) < 1 or m.gpus < m.nodes:
            text = f"{m.gpus} GPUs on {m.nodes} nodes, batch {m.batch_size} x {m.accumulation}"
            yield Suspect(m, "invalid", text, 0.0)
        elif not _SHORTEST_S <= m.step_time_s / m.accumulation <= _LONGEST_S:
            yield Suspect(m, "invalid", "no step takes that", 0.0)


def _units(runs: Sequence[Measurement], most: float) -> Iterator[Suspect]:
    """Runs far from what the others allow; of as many against as many the shorter are right, since it is milliseconds
    that are taken for seconds."""
    ordered = sorted(runs, key=lambda m: (m.batch_size, m.gpus, m.step_time_s))
    compared = [
        (m.batch_size, m.step_time_s / m.accumulation) for m in ordered[:: len(ordered) // _COMPARED or 1]
    ]

    @cache
    def allowed(batch_size: int) -> tuple[float, float]:
        grown = [(batch_size / other, pass_s) for other, pass_s in compared]
        return (
            median_low(pass_s * min(factor, 1) for factor, pass_s in grown),
            median_low(pass_s * max(factor, 1) for factor, pass_s in grown),
        )

    for m in runs:
        pass_s, (least, longest) = m.step_time_s / m.accumulation, allowed(m.batch_size)
        if max(pass_s / longest, least / pass_s) > most:
            factor, how = (pass_s / longest, "slower") if pass_s > longest else (least / pass_s, "faster")
            text = f"{format_significant(factor, 2)} times {how} than the other runs allow: is that seconds?"
            yield Suspect(m, "units", text, math.log(factor) ** 2)


def _super_linear(runs: Sequence[Measurement]) -> Iterator[Suspect]:
    best: dict[tuple[int, int], tuple[int, float, Measurement]] = {}  # the best GPU rate among fewer GPUs
    doubted = set[int]()
    for m in sorted(runs, key=lambda m: m.gpus):
        key, rate = (m.batch_size, m.accumulation), _gpu_rate(m)
        gpus, most, fewer = best.get(key, (m.gpus, rate, m))
        if gpus < m.gpus and rate > _SUPER_LINEAR * most:
            ratio = rate / most
            text = (
                f"each of {m.gpus} GPUs does {ratio:.2f} times what each of {gpus} does at that micro-batch"
            )
            for one in (m, fewer):
                if id(one) not in doubted:
                    doubted.add(id(one))
                    yield Suspect(one, "super-linear", text, math.log(ratio) ** 2 / 2)
        if rate >= most:
            best[key] = m.gpus, rate, m


def _gpu_rate(m: Measurement) -> float:
    return m.batch_size * m.accumulation / m.step_time_s
