"""What one measured run was: plain frozen values, whoever measured it.

The sampler on a node imports this, so the standard library is all it may need.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ..cluster_profiles.precision import Precision


@dataclass(frozen=True)
class Measurement:
    """The steady step time of one run, and the configuration it was measured in.

    `spread` is half the P10-P90 width of its step times, relative; `busy_share` the share of time the
    GPUs computed, `data_wait_share` the share of the step spent waiting for input; `startup_s` is from the start of
    an attempt to its first step, `evaluation_s` and `checkpoint_s` what one of them takes.  None is not known.
    """

    model: str
    gpu: str | None
    nodes: int
    gpus: int
    gpus_per_node: int
    batch_size: int
    accumulation: int
    precision: Precision
    seq_len: int | None
    step_time_s: float
    spread: float | None = None
    n_steps: int | None = None
    busy_share: float | None = None
    data_wait_share: float | None = None
    memory_peak_bytes: int | None = None
    source: str = ""
    when: datetime | None = None
    model_parallel: int = 1  # GPUs that hold one replica
    startup_s: float | None = None
    evaluation_s: float | None = None
    checkpoint_s: float | None = None
    queue_wait_s: float | None = None
    restarts: int | None = None
    energy_per_sample_j: float | None = None

    @property
    def step_samples(self) -> float:
        """The global batch: micro-batch x replicas x accumulation."""
        return self.batch_size * self.gpus / self.model_parallel * self.accumulation


class GpuReading(NamedTuple):
    """What one GPU said at one tick; a value that could not be read is None, never 0.

    `ring` holds the driver's own utilisation samples since the tick before, oldest first: (seconds before the
    newest of them, per cent).  Shares are of the time since they were read before: of SMs active, warps resident, tensor cores and
    DRAM busy.
    """

    gpu: int  # its place in the spool's header
    utilisation_percent: int | None = None
    memory_utilisation_percent: int | None = None
    memory_used_bytes: int | None = None
    power_mw: int | None = None
    temperature_c: int | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    clock_reasons: int | None = None  # NVML's bit mask
    energy_mj: int | None = None  # since the driver was loaded
    pcie_tx_bytes: int | None = None  # counters, likewise
    pcie_rx_bytes: int | None = None
    nvlink_tx_kib: int | None = None
    nvlink_rx_kib: int | None = None
    sm_active: float | None = None
    occupancy: float | None = None
    tensor_active: float | None = None
    dram_active: float | None = None
    processes: int | None = None
    ring: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """One round of readings; `time_s` is Unix time."""

    time_s: float
    readings: tuple[GpuReading, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on a node, to one GPU (its place in the spool's header) or to the sampler."""

    time_s: float
    kind: str
    text: str
    gpu: int | None = None


@dataclass(frozen=True, slots=True)
class LoopStart:
    """A training loop began, with `step` steps done before it; what the script says of itself."""

    time_s: float
    step: int
    total: int | None = None
    attempt: str = ""
    batch_size: int | None = None
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class LoopSteps:
    """`steps` steps that took `seconds` without pauses, `step` done in all; `wait_s` of it waited for input."""

    time_s: float
    step: int
    steps: int
    seconds: float
    longest_s: float
    wait_s: float | None = None
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class LoopPause:
    """Training stopped for an evaluation, or a checkpoint."""

    time_s: float
    step: int
    what: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LoopEnd:
    """The loop ended, after `step` steps in all."""

    time_s: float
    step: int


LoopLine = LoopStart | LoopSteps | LoopPause | LoopEnd


def steady_lines(lines: Iterable[LoopLine]) -> list[LoopSteps]:
    """The steps but the first of each loop, which compiles, allocates and fills queues."""
    steady, first = [], True
    for line in lines:
        if isinstance(line, LoopStart | LoopEnd):
            first = True
        elif isinstance(line, LoopSteps):
            if not first:
                steady.append(line)
            first = False
    return steady
