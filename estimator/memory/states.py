"""Weights, gradients and optimizer states in one GPU, by the published formulas whose numbers `priors` holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ...cluster_profiles.units import format_significant, join_names
from ..job.placement import Placement
from ..job.training import Offload, Training
from ..job.workload import Workload
from ..ranges import Range
from .activations import layers_and_hidden, words
from .priors import (
    EMBEDDINGS,
    FEW_EXPERTS,
    FOREACH,
    GATHERED_LAYERS,
    GRADIENT_BYTES,
    MASTER_BYTES,
    QUANTISED_BYTES,
    SHARED_BY_EXPERTS,
    SHARED_BY_FEW_EXPERTS,
    UNQUANTISED_BYTES,
    WEIGHT_BYTES,
    WIDE,
    optimizer_bytes,
)

ALL_SHARDED = 3  # the ZeRO stage that shards all states


@dataclass(frozen=True)
class States:
    """The states in one GPU, in bytes; `paged` of them leave it as far as it is short of memory."""

    total: Range
    paged: Range
    text: str


class _Group(NamedTuple):
    """Parameters of one GPU before ZeRO shards them, and the GPUs that it shards them over."""

    parameters: float
    shards: int


@dataclass(frozen=True)
class _Bytes:
    """Bytes per parameter at one percentile; `copies` are fp32 gradients of a shard, master weights and temporaries."""

    weights: float
    gradients: float
    copies: float
    moments: float
    gathered: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.copies + self.moments + self.gathered


def bytes_of_states(workload: Workload, placement: Placement, parameters: int) -> States:
    """Return weights, gradients and optimizer states in one GPU, and a line on how they follow.

    Where the ZeRO stage is not stated, the least is that of stage 3, the others are those of stage 0.

    >>> from ..job.placement import place
    >>> job = Workload.of(samples=1, parameters=1e9, batch_size=1, gpus=1, precision="bf16")
    >>> bytes_of_states(job, place(job, None), 10**9).total.p50 / 1e9
    16.0
    """
    stage = workload.training.zero_stage
    ends = {
        q: list(_groups_in_bytes(workload, placement, parameters, q, s if stage is None else stage))
        for q, s in (("p10", 3), ("p50", 0), ("p90", 0))
    }
    low, middle, high = (sum(b.total * n for n, b in ends[q]) for q in ("p10", "p50", "p90"))
    total = Range(low, max(low, middle), max(low, middle, high))
    text = _text(workload, placement, parameters, total)
    paged = Range.exactly(0)
    if workload.training.optimizer.is_paged:  # the least is with all of them in host memory
        out, *moments = (sum(b.moments * n for n, b in ends[q]) for q in ("p10", "p50", "p90"))
        total, paged = Range(total.p10 - out, total.p50, total.p90), Range(0, *sorted(moments))
    return States(total, paged, text)


def _groups_in_bytes(
    workload: Workload, placement: Placement, parameters: int, q: str, stage: int
) -> Iterator[tuple[float, _Bytes]]:
    for group in _groups(workload, parameters, q):
        alone = group.shards == 1 < workload.training.shards  # Megatron shards nothing over one GPU
        yield (
            group.parameters,
            _bytes_per_parameter(workload, placement, q, 0 if alone else stage, group.shards),
        )


def _groups(workload: Workload, parameters: int, q: str) -> Iterator[_Group]:
    """Yield the parameters in one GPU; those of experts that are spread have fewer GPUs to be sharded over.

    The parameters say little of the experts alone: see `SHARED_BY_EXPERTS`.
    """
    training, active = workload.training, workload.architecture.active_parameters
    split = training.tensor_parallel * training.pipeline_parallel
    if training.expert_parallel == 1 or not active:
        yield _Group(parameters / split, training.shards)
        return
    common = min(getattr(_shared_by_experts(parameters, active), q) * active, parameters)
    yield _Group(common / split, training.shards)
    spread = split * training.expert_parallel
    yield _Group((parameters - common) / spread, training.shards // training.expert_parallel)


def _shared_by_experts(parameters: int, active: int) -> Range:
    """Return the share of the active parameters that no expert holds."""
    return SHARED_BY_FEW_EXPERTS if parameters <= FEW_EXPERTS * active else SHARED_BY_EXPERTS


def _bytes_per_parameter(workload: Workload, placement: Placement, q: str, stage: int, shards: int) -> _Bytes:
    training, precision = workload.training, placement.precision
    trained = workload.architecture.trained_share
    layers = layers_and_hidden(workload)[0]
    weights = _weight_bytes(workload, placement, q)
    width = getattr(WEIGHT_BYTES[precision], q)
    mixed = precision not in WIDE and training.master_weights
    gradients = width
    copies = 0.0
    if mixed:
        published = GRADIENT_BYTES[stage]
        gradients, copies = getattr(published.whole, q), getattr(published.shard, q) + MASTER_BYTES
    # bitsandbytes, which pages, keeps fp32 moments of 16-bit weights too.
    full = 4 if mixed or precision in WIDE or training.optimizer.is_paged else 2
    moments = getattr(optimizer_bytes(training.optimizer, full), q)
    gathered = 0.0
    if stage == ALL_SHARDED and (shards > 1 or Offload.PARAMETERS in training.offload):
        # Between the micro-batches of a pipeline, FSDP keeps the weights of a stage whole (torchtitan).
        kept = layers if q == "p90" and training.pipeline_parallel > 1 else getattr(GATHERED_LAYERS, q)
        gathered = min(kept / layers, 1.0) * (weights + gradients * trained)
    if training.optimizer_in_backward or training.optimizer.updates_in_backward:
        gradients /= layers
    elif q == "p90" and not mixed and training.optimizer in FOREACH:
        copies += width
    whole = 1 if stage < ALL_SHARDED else shards
    weights, gradients = weights / whole, gradients * trained / whole
    copies, moments = (part * trained / (shards if stage else 1) for part in (copies, moments))
    if Offload.OPTIMIZER in training.offload:
        # DeepSpeed moves the gradients out as well; others need not.
        copies = moments = 0.0
        gradients = gradients if q == "p90" or (q == "p50" and stage == 0) else 0.0
    if Offload.PARAMETERS in training.offload:
        weights = gradients = 0.0
    return _Bytes(weights, gradients, copies, moments, gathered)


def _weight_bytes(workload: Workload, placement: Placement, q: str) -> float:
    """Return the bytes of a weight: those of a frozen base may be quantised, but for embedding and head."""
    architecture = workload.architecture
    width = float(getattr(WEIGHT_BYTES[placement.precision], q))
    if architecture.base_bits not in QUANTISED_BYTES:
        return width
    trained, parameters = architecture.trained_share, architecture.parameters or 1
    quantised = getattr(QUANTISED_BYTES[architecture.base_bits], q)
    rows = getattr(EMBEDDINGS, q) * getattr(words(workload), q) * layers_and_hidden(workload)[1]
    unquantised = min(rows / parameters, 1 - trained)
    frozen = 1 - trained - unquantised
    return float(width * trained + getattr(UNQUANTISED_BYTES, q) * unquantised + quantised * frozen)


def _text(workload: Workload, placement: Placement, parameters: int, total: Range) -> str:
    training, architecture = workload.training, workload.architecture
    trained, bits = architecture.trained_share, architecture.base_bits
    parts = [
        *([f"{trained:.2g} of them trained"] if trained < 1 else []),
        f"in {placement.precision} with {training.optimizer}",
        *([f"base in {bits} bit"] if bits else []),
        *([] if training.master_weights else ["no master weights"]),
        *([f"{join_names(training.offload, 2, ' and ')} offloaded"] if training.offload else []),
        *(["optimizer in backward"] if training.optimizer_in_backward else []),
        *([_experts_text(workload, parameters)] if training.expert_parallel > 1 else []),
        *([_sharding(training)]),
    ]
    first, *others = parts
    between = ", " if trained < 1 else " "
    shown = f"{format_significant(parameters / 1e9)}B parameters{between}{', '.join([first, *others])}"
    return f"{shown}: {gigabytes(total)} GB per GPU"


def _experts_text(workload: Workload, parameters: int) -> str:
    shared = _shared_by_experts(parameters, workload.architecture.active_parameters or parameters)
    outside = f"{shared.p10:.0%} to {shared.p90:.0%}"
    return f"expert_parallel {workload.training.expert_parallel} ({outside} of the active ones in no expert)"


def _sharding(training: Training) -> str:
    if training.zero_stage is not None:
        return f"zero_stage {training.zero_stage}"
    return "zero_stage 0" if training.shards == 1 else "zero_stage not stated, so 0 to 3"


def gigabytes(amount: Range) -> str:
    """Return P10 to P90 in GB."""
    low, high = (format_significant(x / 1e9, 2) for x in (amount.p10, amount.p90))
    return low if low == high else f"{low} to {high}"
