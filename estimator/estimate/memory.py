"""Whether training fits into one GPU's memory: from measured peaks, else from what parameters take.

Peak memory is taken as linear in the micro-batch: what is kept in any case, and what each sample adds.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ...cluster_profiles.gpu import Gpu
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_count, format_significant, plural
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import (
    ACTIVATION_BYTES,
    GRADIENT_BYTES,
    HIDDEN_PER_LAYER,
    LOGIT_BYTES,
    MASTER_BYTES,
    OPTIMIZER_BYTES,
    OVERHEAD_BYTES,
    RECOMPUTED_ACTIVATION_BYTES,
    WEIGHT_BYTES,
)
from ..ranges import Range
from ..step_time.source import Source, SourceKind

# Peaks of one configuration differ by what the allocator rounds and cannot use; ours to judge, as no repeats are
# published.  On another number of GPUs communication buffers and sharding come in as well.
MEASURED_SPREAD, OTHER_GPUS_SPREAD = 0.05, 0.15
# GPUs sold as 80 GB have 80 to 80 x 2^30 / 10^9 bytes; between the two nobody can promise anything.
_MOST_OF_A_GB = 2**30 / 10**9


class Fit(StrEnum):
    YES = "yes"
    TIGHT = "tight"
    NO = "no"


@dataclass(frozen=True)
class Memory:
    """The peak memory of one GPU, and whether the GPU has that much; None is not known.

    `largest_batch_size` is the micro-batch up to which P90 fits, 0 if none does.
    """

    peak_bytes: Range | None
    source: Source
    fits: Fit | None = None
    largest_batch_size: int | None = None


class _Line(NamedTuple):
    """Bytes = fixed + each x micro-batch."""

    fixed: float
    each: float


@dataclass(frozen=True)
class _Model:
    """Several lines, the truth between the lowest and the highest, each known to a relative `spread`."""

    lines: tuple[_Line, ...]
    spread: float = 0.0

    def peak(self, batch_size: int) -> Range:
        values = [line.fixed + line.each * batch_size for line in self.lines]
        return Range(
            min(values) / (1 + self.spread), statistics.median(values), max(values) * (1 + self.spread)
        )

    def largest(self, capacity: float) -> int | None:
        """The micro-batch up to which P90 is below `capacity`; None if each sample takes nothing."""
        room = capacity / (1 + self.spread)
        if any(line.fixed > room for line in self.lines):
            return 0
        return min((int((room - line.fixed) / line.each) for line in self.lines if line.each), default=None)


def estimate_memory(
    workload: Workload, placement: Placement, measurements: Sequence[Measurement] = ()
) -> Memory:
    """The peak memory of one GPU of `workload` as placed.

    >>> from ..job.placement import place
    >>> job = Workload.of(samples=1, seq_len=2048, parameters=1e9, batch_size=4, gpus=1, gpu="h100-sxm", precision="bf16")
    >>> estimate_memory(job, place(job, None)).fits
    <Fit.YES: 'yes'>
    """
    like = _like(workload, placement, measurements)
    if like:
        model, source = _measured(like, placement)
        ran = max(
            (m.batch_size for m in like if m.gpu and placement.gpu and placement.gpu.answers_to(m.gpu)),
            default=0,
        )
        return _judged(model, source, workload, placement, ran)
    parameters, seq_len = workload.architecture.parameters, workload.data.seq_len
    if parameters is None or placement.precision is Precision.AUTO:
        missing = "the GPU type or a precision" if parameters else "parameters"
        text = f"nothing measured; a prior would need {missing}{'' if seq_len else ' and seq_len'}"
        return Memory(None, Source(SourceKind.UNKNOWN, text))
    kept, kept_text = _kept(workload, placement, parameters)
    if seq_len is None:
        text = f"activations need seq_len or a measured run; without them {kept_text}"
        gpu = placement.gpu
        full = gpu is not None and kept.p10 > gpu.memory_bytes * _MOST_OF_A_GB
        return Memory(None, Source(SourceKind.UNKNOWN, text), Fit.NO if full else None, 0 if full else None)
    each = _activations(workload, placement, seq_len)
    lines = tuple(
        _Line(getattr(kept, q) + getattr(OVERHEAD_BYTES, q), getattr(each, q)) for q in ("p10", "p50", "p90")
    )
    text = f"{kept_text}; activations as of a transformer of as many parameters"
    return _judged(_Model(lines), Source(SourceKind.PRIOR, text), workload, placement)


def _judged(model: _Model, source: Source, workload: Workload, placement: Placement, ran: int = 0) -> Memory:
    """`model` at this micro-batch; one up to `ran` has run on this GPU type."""
    batch_size, gpu = workload.training.batch_size, placement.gpu
    peak = model.peak(batch_size)
    if gpu is None:
        return Memory(peak, source)
    fits, largest = _fits(peak, gpu), model.largest(gpu.memory_bytes)
    if fits is Fit.NO and batch_size <= ran:
        fits = Fit.TIGHT
    return Memory(peak, source, fits, largest if largest is None else max(largest, ran))


def _fits(peak: Range, gpu: Gpu) -> Fit | None:
    if peak.p90 <= gpu.memory_bytes:
        return Fit.YES
    if peak.p10 > gpu.memory_bytes * _MOST_OF_A_GB:
        return Fit.NO
    return Fit.TIGHT if peak.p90 < 2 * peak.p10 else None  # a wide range tells nothing


def _like(workload: Workload, placement: Placement, measurements: Sequence[Measurement]) -> list[Measurement]:
    """Runs whose memory tells of this one: of the nearest GPU count that does.

    Where states are sharded, fewer GPUs hold more each, so that a larger count tells nothing.  A sequence length or a
    precision that is not stated is that of the runs, if all have one.
    """
    precision, seq_len = placement.precision, workload.data.seq_len
    like = [
        m
        for m in measurements
        if m.memory_peak_bytes
        and m.model == workload.model
        and m.model_parallel == workload.training.model_parallel
        and precision in (m.precision, Precision.AUTO)
        and (seq_len == m.seq_len or None in (seq_len, m.seq_len))
        and (m.gpus <= placement.gpus or workload.training.zero_stage == 0)
    ]
    if len({m.precision for m in like}) > 1 or len({m.seq_len for m in like if m.seq_len}) > 1:
        return []
    nearest = min((abs(m.gpus - placement.gpus) for m in like), default=0)
    return [m for m in like if abs(m.gpus - placement.gpus) == nearest]


def _measured(like: Sequence[Measurement], placement: Placement) -> tuple[_Model, Source]:
    peaks: dict[int, float] = {}
    for m in like:
        peaks[m.batch_size] = max(peaks.get(m.batch_size, 0.0), float(m.memory_peak_bytes or 0))
    batches = sorted(peaks)
    shown = format_count(batches[0]) + (f" to {format_count(batches[-1])}" if len(batches) > 1 else "")
    origin = f"peaks of {plural(len(like), 'run')} of {like[0].model} at micro-batch {shown}"
    lines = _lines(batches, [peaks[b] for b in batches])
    misses = [
        abs(peaks[b] / (line.fixed + line.each * b) - 1) for b in batches for line in lines if len(lines) == 1
    ]
    assumed = () if len(batches) > 1 else ("what each sample adds is not measured",)
    if like[0].gpus == placement.gpus:
        kind, spread = SourceKind.MEASURED, MEASURED_SPREAD
    else:
        kind, spread = SourceKind.TRANSFERRED, OTHER_GPUS_SPREAD
        assumed = (f"as on {plural(like[0].gpus, 'GPU')}", *assumed)
    return _Model(lines, max(spread, *misses, 0.0)), Source(kind, origin, len(like), assumed)


def _lines(batches: Sequence[int], peaks: Sequence[float]) -> tuple[_Line, ...]:
    if len(batches) == 1:  # each sample adds something between nothing and all of it
        whole, batch_size = peaks[0], batches[0]
        return tuple(_Line(whole * (1 - share), whole * share / batch_size) for share in (0.0, 0.5, 1.0))
    each, fixed = statistics.linear_regression(batches, peaks)
    if each < 0:
        return (_Line(max(peaks), 0.0),)
    if fixed < 0:
        each, fixed = statistics.linear_regression(batches, peaks, proportional=True)
    return (_Line(fixed, each),)


def _kept(workload: Workload, placement: Placement, parameters: int) -> tuple[Range, str]:
    """Weights, gradients and optimizer states in one GPU, in bytes, and how they come about."""
    training, precision = workload.training, placement.precision
    each = parameters / (training.tensor_parallel * training.pipeline_parallel)
    trained = min((workload.architecture.trainable_parameters or parameters) / parameters, 1.0)
    stages, shards = (0, 0, 3), training.data_parallel
    if training.zero_stage is not None or shards == 1:
        stages = (training.zero_stage or 0,) * 3
    state = MASTER_BYTES[precision] + OPTIMIZER_BYTES[training.optimizer]

    def bytes_each(q: str, stage: int) -> float:
        weights, gradients = getattr(WEIGHT_BYTES[precision], q), getattr(GRADIENT_BYTES[precision], q)
        parts = ((weights, 3), (gradients * trained, 2), (state * trained, 1))
        return sum(part / (shards if stage >= from_stage else 1) for part, from_stage in parts)

    most, middle, least = (
        bytes_each(q, stage) for q, stage in zip(("p90", "p50", "p10"), stages, strict=True)
    )
    kept = Range(min(least, middle), middle, max(middle, most)).scaled(each)
    sharding = f"zero_stage {stages[0]}" if stages[0] == stages[2] else "zero_stage not stated, so 0 to 3"
    trains = "" if trained == 1 else f", {trained:.2g} of them trained,"
    text = (
        f"{format_significant(parameters / 1e9)}B parameters{trains} in {precision} with {training.optimizer}, {sharding}: "
        f"{gigabytes(kept)} GB a GPU"
    )
    return kept, text


def _activations(workload: Workload, placement: Placement, seq_len: int) -> Range:
    """Bytes that one sample of the micro-batch adds, of a transformer: 12 layers x hidden^2 parameters."""
    training = workload.training
    parameters = workload.architecture.flops_parameters or 1
    layers = max((parameters / (12 * HIDDEN_PER_LAYER**2)) ** (1 / 3), 1.0)
    hidden = math.sqrt(parameters / (12 * layers))
    shared = training.tensor_parallel * training.context_parallel * training.sequence_parallel
    wide = 2 if placement.precision in (Precision.FP32, Precision.TF32) else 1

    def added(q: str) -> float:
        layer = getattr(ACTIVATION_BYTES, q)
        # Recomputed, one layer at a time is there whole.
        per_hidden = RECOMPUTED_ACTIVATION_BYTES * layers + layer if training.recompute else layer * layers
        return float(seq_len * (per_hidden * hidden * wide + getattr(LOGIT_BYTES, q)) / shared)

    return Range(added("p10"), added("p50"), added("p90"))


def gigabytes(amount: Range) -> str:
    """P10 to P90 in GB."""
    low, high = (format_significant(x / 1e9, 2) for x in (amount.p10, amount.p90))
    return low if low == high else f"{low} to {high}"
