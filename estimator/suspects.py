"""Runs whose step time cannot be right, or not beside the others, each with one line that says why."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from .runs import Measurement

# Samples per second of one GPU differ between configurations of one model and GPU by less than this factor: the
# smallest batch on the slowest network is within 100 of the best in the series of Pollux, Sia and Gavel.
_UNITS = 300
_UNITS_TEXT = "{:.3g} times {} per sample than the median of the others: milliseconds taken for seconds?"

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


def suspects(measurements: Sequence[Measurement]) -> list[Suspect]:
    """What is wrong with single runs, and between two, without a model of the rest."""
    found = list(_invalid(measurements))
    bad = {id(s.measurement) for s in found}
    kinds: dict[tuple[object, ...], list[Measurement]] = {}
    for m in measurements:
        if id(m) not in bad:
            kinds.setdefault((m.gpu, m.precision, m.seq_len), []).append(m)
    for runs in kinds.values():
        units = list(_units(runs))
        bad = {id(s.measurement) for s in units}
        found += units
        found += _super_linear([m for m in runs if id(m) not in bad])
    return found


def _invalid(measurements: Sequence[Measurement]) -> Iterator[Suspect]:
    for m in measurements:
        if not 0 < m.step_time_s < math.inf:
            yield Suspect(m, "invalid", f"a step of {m.step_time_s:g} s", 0.0)
        elif min(m.nodes, m.gpus, m.batch_size, m.accumulation) < 1 or m.gpus < m.nodes:
            text = f"{m.gpus} GPUs on {m.nodes} nodes, batch {m.batch_size} x {m.accumulation}"
            yield Suspect(m, "invalid", text, 0.0)


def _units(runs: Sequence[Measurement]) -> Iterator[Suspect]:
    """Runs far from the median; of two, which is wrong cannot be told, and both are doubted."""
    rates = [math.log(_gpu_rate(m)) for m in runs]
    middle = median(rates)
    for m, rate in zip(runs, rates, strict=True):
        off = middle - rate
        factor = math.exp(abs(off))
        if len(runs) == 2:  # noqa: PLR2004
            factor **= 2
        if factor > _UNITS:
            text = _UNITS_TEXT.format(factor, "slower" if off > 0 else "faster")
            yield Suspect(m, "units", text, math.log(factor) ** 2)


def _super_linear(runs: Sequence[Measurement]) -> Iterator[Suspect]:
    best: dict[tuple[int, int], tuple[int, float, Measurement]] = {}  # the best GPU rate among fewer GPUs
    doubted = set[int]()
    for m in sorted(runs, key=lambda m: m.gpus):
        key, rate = (m.batch_size, m.accumulation), _gpu_rate(m)
        gpus, most, fewer = best.get(key, (m.gpus, rate, m))
        if gpus < m.gpus and rate > _SUPER_LINEAR * most:
            ratio = rate / most
            text = f"{m.gpus} GPUs do {ratio:.2f} times the work each of {gpus} at batch {m.batch_size}"
            for one in (m, fewer):
                if id(one) not in doubted:
                    doubted.add(id(one))
                    yield Suspect(one, "super-linear", text, math.log(ratio) ** 2 / 2)
        if rate >= most:
            best[key] = m.gpus, rate, m


def _gpu_rate(m: Measurement) -> float:
    return m.batch_size * m.accumulation / m.step_time_s
