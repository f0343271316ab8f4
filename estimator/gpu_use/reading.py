"""What a node's GPUs said, tick by tick, and what happened to them: plain frozen values.

The sampler on a node imports this, so the standard library is all it may need.
"""

from dataclasses import dataclass
from typing import NamedTuple


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


SHARES = frozenset(("sm_active", "occupancy", "tensor_active", "dram_active"))


SHARE_SCALE = 1000
