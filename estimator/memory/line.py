"""Peak memory as a line in the micro-batch: a fixed part, and a part that each sample adds; fitted to measured peaks."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_count, plural
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..ranges import Range
from ..step_time.source import Source, SourceKind

# Peaks of one shape differ by what the allocator rounds up and cannot use; our judgement, as no repeats are published.
# On another number of GPUs, communication buffers and sharding differ too.
MEASURED_SPREAD, OTHER_GPUS_SPREAD = 0.05, 0.15


class Line(NamedTuple):
    """Bytes = fixed + per_sample x micro-batch; `paged` of them leave a GPU that is short of memory."""

    fixed: float
    per_sample: float
    paged: float = 0.0


@dataclass(frozen=True)
class PeakModel:
    """Several lines with the truth between the lowest and the highest, each known to a relative `spread`."""

    lines: tuple[Line, ...]
    spread: float = 0.0

    def peak(self, batch_size: int, capacity: float | None = None) -> Range:
        """Return the peak in bytes at a micro-batch, on a GPU of `capacity` bytes."""
        values = [line.fixed + line.per_sample * batch_size for line in self.lines]
        if capacity is not None:
            room = capacity / (1 + self.spread)
            values = [
                value - min(line.paged, max(value - room, 0.0))
                for value, line in zip(values, self.lines, strict=True)
            ]
        return Range(
            min(values) / (1 + self.spread), statistics.median(values), max(values) * (1 + self.spread)
        )

    def largest(self, capacity: float) -> int | None:
        """Return the largest micro-batch whose P90 is below `capacity` bytes; None if no sample adds anything."""
        room = capacity / (1 + self.spread)
        if any(line.fixed - line.paged > room for line in self.lines):
            return 0
        return min(
            (
                int((room - line.fixed + line.paged) / line.per_sample)
                for line in self.lines
                if line.per_sample
            ),
            default=None,
        )


def comparable_runs(
    workload: Workload, placement: Placement, measurements: Sequence[Measurement]
) -> list[Measurement]:
    """Runs whose peak memory holds for the job too, on the nearest number of GPUs.

    Where states are sharded, fewer GPUs hold more each, so that runs on more GPUs do not count.  A value that the job does
    not state is that of the runs, if they have only one; one that a run does not state is that of the job.
    """
    precision, seq_len, training = placement.precision, workload.data.seq_len, workload.training
    trained = workload.architecture.trainable_parameters
    runs = [
        m
        for m in measurements
        if m.memory_peak_bytes
        and m.model == workload.model
        and m.model_parallel == training.model_parallel
        and precision in (m.precision, Precision.AUTO)
        and _agree(seq_len, m.seq_len)
        and _agree(training.tensor_parallel, m.tensor_parallel)
        and _agree(training.pipeline_parallel, m.pipeline_parallel)
        and _agree(training.zero_stage, m.zero_stage)
        and _agree(trained, m.trainable_parameters)
        and (m.gpus <= placement.gpus or training.zero_stage == 0)
    ]
    for name in ("precision", "seq_len", "zero_stage", "trainable_parameters"):
        if len({getattr(m, name) for m in runs} - {None}) > 1:
            return []
    nearest = min((abs(m.gpus - placement.gpus) for m in runs), default=0)
    return [m for m in runs if abs(m.gpus - placement.gpus) == nearest]


def _agree(a: int | None, b: int | None) -> bool:
    return a == b or None in (a, b)


def fit_peaks(runs: Sequence[Measurement], placement: Placement) -> tuple[PeakModel, Source]:
    peaks: dict[int, float] = {}
    for m in runs:
        peaks[m.batch_size] = max(peaks.get(m.batch_size, 0.0), float(m.memory_peak_bytes or 0))
    batches = sorted(peaks)
    shown = format_count(batches[0]) + (f" to {format_count(batches[-1])}" if len(batches) > 1 else "")
    origin = f"peaks of {plural(len(runs), 'run')} of {runs[0].model} at micro-batch {shown}"
    lines = _lines(batches, [peaks[b] for b in batches])
    misses = [
        abs(peaks[b] / (line.fixed + line.per_sample * b) - 1)
        for b in batches
        for line in lines
        if len(lines) == 1
    ]
    assumed = () if len(batches) > 1 else ("the memory per sample is not measured",)
    if runs[0].gpus == placement.gpus:
        kind, spread = SourceKind.MEASURED, MEASURED_SPREAD
    else:
        kind, spread = SourceKind.TRANSFERRED, OTHER_GPUS_SPREAD
        assumed = (f"as on {plural(runs[0].gpus, 'GPU')}", *assumed)
    return PeakModel(lines, max(spread, *misses, 0.0)), Source(kind, origin, len(runs), assumed)


def _lines(batches: Sequence[int], peaks: Sequence[float]) -> tuple[Line, ...]:
    if len(batches) == 1:  # a sample adds between nothing and its share of the peak
        whole, batch_size = peaks[0], batches[0]
        return tuple(Line(whole * (1 - share), whole * share / batch_size) for share in (0.0, 0.5, 1.0))
    per_sample, fixed = statistics.linear_regression(batches, peaks)
    if per_sample < 0:
        return (Line(max(peaks), 0.0),)
    if fixed < 0:
        per_sample, fixed = statistics.linear_regression(batches, peaks, proportional=True)
    return (Line(fixed, per_sample),)
