"""The peak memory of one GPU, and whether it fits: from measured peaks, otherwise from the parameters.

Peak memory is taken as linear in the micro-batch: a fixed part, and a part that each sample adds.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ...cluster_profiles.gpu import Gpu
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_count, plural
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import OVERHEAD_BYTES
from ..ranges import Range
from ..step_time.source import Source, SourceKind
from .memory_prior import activation_bytes_per_sample, bytes_of_states

# Peaks of one shape differ by what the allocator rounds up and cannot use; our judgement, as no repeats are published.
# On another number of GPUs, communication buffers and sharding differ too.
MEASURED_SPREAD, OTHER_GPUS_SPREAD = 0.05, 0.15
# GPUs sold as 80 GB have between 80 x 10^9 and 80 x 2^30 bytes.
_MOST_OF_A_GB = 2**30 / 10**9


class Fit(StrEnum):
    """Whether the job fits into the memory of its GPUs."""

    YES = "yes"
    TIGHT = "tight"
    NO = "no"


@dataclass(frozen=True)
class Memory:
    """The peak memory of one GPU, and whether it fits; None is not known.

    `largest_batch_size` is the largest micro-batch whose P90 fits, 0 if none does.
    """

    peak_bytes: Range | None
    source: Source
    fits: Fit | None = None
    largest_batch_size: int | None = None


class _Line(NamedTuple):
    """Bytes = fixed + per_sample x micro-batch."""

    fixed: float
    per_sample: float


@dataclass(frozen=True)
class _Model:
    """Several lines with the truth between the lowest and the highest, each known to a relative `spread`."""

    lines: tuple[_Line, ...]
    spread: float = 0.0

    def peak(self, batch_size: int) -> Range:
        """Return the peak in bytes at a micro-batch."""
        values = [line.fixed + line.per_sample * batch_size for line in self.lines]
        return Range(
            min(values) / (1 + self.spread), statistics.median(values), max(values) * (1 + self.spread)
        )

    def largest(self, capacity: float) -> int | None:
        """Return the largest micro-batch whose P90 is below `capacity` bytes; None if no sample adds anything."""
        room = capacity / (1 + self.spread)
        if any(line.fixed > room for line in self.lines):
            return 0
        return min(
            (int((room - line.fixed) / line.per_sample) for line in self.lines if line.per_sample),
            default=None,
        )


def estimate_memory(
    workload: Workload, placement: Placement, measurements: Sequence[Measurement] = ()
) -> Memory:
    """Return the peak memory of one GPU of `workload` as placed.

    >>> from ..job.placement import place
    >>> job = Workload.of(samples=1, seq_len=2048, parameters=1e9, batch_size=4, gpus=1, gpu="h100-sxm", precision="bf16")
    >>> estimate_memory(job, place(job, None)).fits
    <Fit.YES: 'yes'>
    """
    runs = _comparable_runs(workload, placement, measurements)
    if runs:
        model, source = _from_peaks(runs, placement)
        largest_run = max(
            (m.batch_size for m in runs if m.gpu and placement.gpu and placement.gpu.answers_to(m.gpu)),
            default=0,
        )
        return _judge(model, source, workload, placement, largest_run)
    parameters, seq_len = workload.architecture.parameters, workload.data.seq_len
    if parameters is None or placement.precision is Precision.AUTO:
        missing = "the GPU type or a precision" if parameters else "parameters"
        text = f"nothing measured; a prior would need {missing}{'' if seq_len else ' and seq_len'}"
        return Memory(None, Source(SourceKind.UNKNOWN, text))
    states, states_text = bytes_of_states(workload, placement, parameters)
    if seq_len is None:
        text = f"activations need seq_len or a measured run; without them {states_text}"
        gpu = placement.gpu
        is_full = gpu is not None and states.p10 > gpu.memory_bytes * _MOST_OF_A_GB
        return Memory(
            None, Source(SourceKind.UNKNOWN, text), Fit.NO if is_full else None, 0 if is_full else None
        )
    per_sample = activation_bytes_per_sample(workload, placement, seq_len)
    lines = tuple(
        _Line(getattr(states, q) + getattr(OVERHEAD_BYTES, q), getattr(per_sample, q))
        for q in ("p10", "p50", "p90")
    )
    text = f"{states_text}; activations as in a transformer with as many parameters"
    return _judge(_Model(lines), Source(SourceKind.PRIOR, text), workload, placement)


def _judge(
    model: _Model, source: Source, workload: Workload, placement: Placement, largest_run: int = 0
) -> Memory:
    """`model` at the job's micro-batch; micro-batches up to `largest_run` have run on this GPU type."""
    batch_size, gpu = workload.training.batch_size, placement.gpu
    peak = model.peak(batch_size)
    if gpu is None:
        return Memory(peak, source)
    fits, largest = _fits(peak, gpu), model.largest(gpu.memory_bytes)
    if fits is Fit.NO and batch_size <= largest_run:
        fits = Fit.TIGHT
    return Memory(peak, source, fits, largest if largest is None else max(largest, largest_run))


def _fits(peak: Range, gpu: Gpu) -> Fit | None:
    if peak.p90 <= gpu.memory_bytes:
        return Fit.YES
    if peak.p10 > gpu.memory_bytes * _MOST_OF_A_GB:
        return Fit.NO
    return Fit.TIGHT if peak.p90 < 2 * peak.p10 else None  # a wide range does not tell


def _comparable_runs(
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


def _from_peaks(runs: Sequence[Measurement], placement: Placement) -> tuple[_Model, Source]:
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
    return _Model(lines, max(spread, *misses, 0.0)), Source(kind, origin, len(runs), assumed)


def _lines(batches: Sequence[int], peaks: Sequence[float]) -> tuple[_Line, ...]:
    if len(batches) == 1:  # a sample adds between nothing and its share of the peak
        whole, batch_size = peaks[0], batches[0]
        return tuple(_Line(whole * (1 - share), whole * share / batch_size) for share in (0.0, 0.5, 1.0))
    per_sample, fixed = statistics.linear_regression(batches, peaks)
    if per_sample < 0:
        return (_Line(max(peaks), 0.0),)
    if fixed < 0:
        per_sample, fixed = statistics.linear_regression(batches, peaks, proportional=True)
    return (_Line(fixed, per_sample),)
