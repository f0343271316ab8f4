"""The peak memory of one GPU, and whether it fits: from measured peaks, otherwise from the parameters.

Peak memory is taken as linear in the micro-batch: a fixed part, and a part that each sample adds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ...cluster_profiles.gpu import Gpu
from ...cluster_profiles.precision import Precision
from ..job.optimizer import Optimizer
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..ranges import Range
from ..step_time.source import Source, SourceKind
from .activations import activation_bytes_per_sample
from .line import Line, PeakModel, comparable_runs, fit_peaks
from .priors import BUCKET_BYTES, OVERHEAD_BYTES
from .states import bytes_of_states

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

    `largest_batch_size` is the largest micro-batch whose P90 fits, 0 if none does.  `undecided` names keys that the job
    does not state, where it would fit with other values than the defaults: `fits` is `tight` then.
    """

    peak_bytes: Range | None
    source: Source
    fits: Fit | None = None
    largest_batch_size: int | None = None
    undecided: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Return in words whether the job fits."""
        if self.undecided:
            return "does not fit as far as stated"
        words = {Fit.YES: "fits", Fit.TIGHT: "tight", Fit.NO: "does not fit"}
        return words[self.fits] if self.fits else "may fit"


def estimate_memory(
    workload: Workload, placement: Placement, measurements: Sequence[Measurement] = ()
) -> Memory:
    """Return the peak memory of one GPU of `workload` as placed.

    >>> from ..job.placement import place
    >>> job = Workload.of(samples=1, seq_len=2048, parameters=1e9, batch_size=4, gpus=1, gpu="h100-sxm", precision="bf16")
    >>> estimate_memory(job, place(job, None)).fits
    <Fit.YES: 'yes'>
    """
    runs = comparable_runs(workload, placement, measurements)
    if runs:
        model, source = fit_peaks(runs, placement)
        largest_run = max(
            (m.batch_size for m in runs if m.gpu and placement.gpu and placement.gpu.answers_to(m.gpu)),
            default=0,
        )
        return _judge(model, source, workload, placement, largest_run)
    missing = _missing_for_prior(workload, placement)
    if missing:
        return Memory(None, Source(SourceKind.UNKNOWN, f"nothing measured; a prior would need {missing}"))
    model, states_text = _prior(workload, placement)
    if workload.data.seq_len is None:
        text = f"activations need seq_len or a measured run; without them {states_text}"
        states = _judge(model, Source(SourceKind.UNKNOWN, text), workload, placement)
        if states.fits is not Fit.NO:
            return Memory(None, states.source)
        memory = Memory(None, states.source, Fit.NO, 0)
    else:
        text = f"{states_text}; activations as in a transformer with as many parameters"
        memory = _judge(model, Source(SourceKind.PRIOR, text), workload, placement)
    if memory.fits is not Fit.NO or placement.gpu is None:
        return memory
    undecided = _undecided(workload, placement, placement.gpu)
    return replace(memory, fits=Fit.TIGHT, undecided=undecided) if undecided else memory


def _missing_for_prior(workload: Workload, placement: Placement) -> str:
    parameters = workload.architecture.parameters
    if parameters and placement.precision is not Precision.AUTO:
        return ""
    missing = "the GPU type or a precision" if parameters else "parameters"
    return missing if workload.data.seq_len else f"{missing} and seq_len"


def _prior(workload: Workload, placement: Placement) -> tuple[PeakModel, str]:
    """The peak by the parameters, without activations if the length is not stated, and a line on the states."""
    parameters, seq_len = workload.architecture.parameters or 1, workload.data.seq_len
    if seq_len and workload.training.batch_tokens:  # the budget holds the longest samples too
        seq_len = workload.training.batch_tokens // workload.training.batch_size
    states = bytes_of_states(workload, placement, parameters)
    per_sample = activation_bytes_per_sample(workload, placement, seq_len or 0)
    overhead = OVERHEAD_BYTES.plus(BUCKET_BYTES) if workload.training.zero_stage else OVERHEAD_BYTES
    lines = tuple(
        Line(
            getattr(states.total, q) + (getattr(overhead, q) if seq_len else 0.0),
            getattr(per_sample, q),
            getattr(states.paged, q),
        )
        for q in ("p10", "p50", "p90")
    )
    return PeakModel(lines), states.text


# Values with which a job needs less memory, by key, in the order in which people try them.
_LEANER: tuple[tuple[str, str, Callable[[Workload], object]], ...] = (
    ("architecture", "base_bits", lambda job: 4 if job.architecture.trainable_parameters else None),
    ("training", "recompute", lambda _: True),
    ("training", "expert_parallel", lambda job: job.training.shards),
    ("training", "optimizer", lambda _: Optimizer.ADAFACTOR),
    ("training", "master_weights", lambda _: False),
    ("training", "optimizer_in_backward", lambda job: job.training.accumulation == 1),
)
_CLEARLY_LESS = 0.95


def _undecided(workload: Workload, placement: Placement, gpu: Gpu) -> tuple[str, ...]:
    """The keys that the job does not state, and with which it may fit; none if it does not fit with them either."""

    def least(job: Workload) -> float:
        return _prior(job, placement)[0].peak(job.training.batch_size, gpu.memory_bytes).p10

    keys: list[str] = []
    for section, key, value in _LEANER:
        table, before = getattr(workload, section), least(workload)
        if key in table.model_fields_set:
            continue
        leaner = table.model_copy(update={key: value(workload)})
        workload = workload.model_copy(update={section: leaner})
        keys += [f"{section}.{key}"] if least(workload) < _CLEARLY_LESS * before else []
        if least(workload) <= gpu.memory_bytes * _MOST_OF_A_GB:
            return tuple(keys)
    return ()


def _judge(
    model: PeakModel, source: Source, workload: Workload, placement: Placement, largest_run: int = 0
) -> Memory:
    """`model` at the job's micro-batch; micro-batches up to `largest_run` have run on this GPU type."""
    batch_size, gpu = workload.training.batch_size, placement.gpu
    if gpu is None:
        return Memory(model.peak(batch_size), source)
    peak, largest = model.peak(batch_size, gpu.memory_bytes), model.largest(gpu.memory_bytes)
    fits = _fits(peak, gpu)
    if fits is Fit.NO and batch_size <= largest_run:
        fits = Fit.TIGHT
    return Memory(peak, source, fits, largest if largest is None else max(largest, largest_run))


def _fits(peak: Range, gpu: Gpu) -> Fit | None:
    if peak.p90 <= gpu.memory_bytes:
        return Fit.YES
    if peak.p10 > gpu.memory_bytes * _MOST_OF_A_GB:
        return Fit.NO
    return Fit.TIGHT if peak.p90 < 2 * peak.p10 else None  # a wide range does not tell
