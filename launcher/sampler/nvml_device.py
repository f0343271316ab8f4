"""One GPU, or one MIG slice, as NVML shows it: what it says now, and what it never says."""

from dataclasses import dataclass
from typing import Any

import pynvml

from ...errors import GpuLost
from ...estimator.gpu_use.reading import GpuReading
from .nvml_calls import FIELDS, GPM_METRICS, Fields, Gpm, Numbers, Ring

# What a reading need not have: it changes slowly, or counts on (bytes, and GPM's share of the time since it was asked).
SLOW = frozenset(
    ("memory clock", "processes", "gpm", "pcie_tx_bytes", "pcie_rx_bytes", "nvlink_tx_kib", "nvlink_rx_kib")
)
_FOR_EVER = {  # asked for once
    pynvml.NVML_ERROR_NOT_SUPPORTED: "not supported",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "not in this driver",
    pynvml.NVML_ERROR_INVALID_ARGUMENT: "not in this driver",
}
_FINE_RING_SCALE = 10_000  # some drivers keep utilisation in 1/10,000 %


@dataclass(frozen=True)
class GpuIdentity:
    """What stays the same of one GPU, or of one MIG slice of it."""

    uuid: str
    name: str
    index: int  # NVML's, in this process
    memory_bytes: int | None
    power_limit_w: float | None
    compute_capability: str | None
    mig_parent: str | None = None


class Device:
    """One GPU that is sampled: its handle, and in `missing` what it never says, and why."""

    def __init__(self, identity: GpuIdentity, handle: Any, parent: Any = None) -> None:
        self.identity = identity
        self.handle = handle
        self.parent = parent  # the whole GPU's handle, of a MIG slice
        self.missing: dict[str, str] = {}
        self._numbers = Numbers(handle)
        self._batches = self._fields()
        self._ring = Ring(handle)
        self._ring_seen_us, self._ring_scale = 0, 1
        self._gpm: Gpm | None = None

    def read(self, place: int, *, slow: bool) -> GpuReading:
        """What it says now, as reading number `place` of a tick, with what is `SLOW` or without.

        Raises GpuLost once it has fallen off the bus.
        """
        fields = self._told_fields(slow)
        silent = {*self.missing, *(() if slow else SLOW), "power" if "power_mw" in fields else ""}
        for name, (function, arguments) in self._numbers.calls.items():
            if name not in silent and (code := function(*arguments)) and not self._says(name, code):
                silent.add(name)
        use, memory_use, memory, heat, sm_clock, memory_clock, reasons, power_mw, processes = (
            self._numbers.values()
        )
        if "power" not in silent:
            fields["power_mw"] = power_mw
        return GpuReading(
            place,
            utilisation_percent=None if "utilisation" in silent else use,
            memory_utilisation_percent=None if "utilisation" in silent else memory_use,
            memory_used_bytes=None if "memory" in silent else memory,
            temperature_c=None if "temperature" in silent else heat,
            sm_clock_mhz=None if "sm clock" in silent else sm_clock,
            memory_clock_mhz=None if "memory clock" in silent else memory_clock,
            clock_reasons=None if "clock reasons" in silent else reasons,
            processes=None if "processes" in silent else processes,
            ring=self._told_ring(),
            **fields,
            **({} if "gpm" in silent else self._told_shares()),
        )

    def ring_depth(self) -> int | None:
        """How many samples the driver holds now; None where it holds none.

        Their scale is learnt on the way, and what was before the job is not sampled.
        """
        return len(self._told_ring()) or None

    def _told_ring(self) -> tuple[tuple[float, int], ...]:
        """The driver's samples since the last call, as a reading has them."""
        if "ring" in self.missing:
            return ()
        seen = self._ring_seen_us
        if (code := self._ring.ask(seen)) and not self._says("ring", code):
            return ()
        times, values = self._ring.values()
        if not times or (newest := max(times)) <= seen:
            return ()
        if self._ring_scale == 1 and max(values) > 100:  # noqa: PLR2004  per cent
            self._ring_scale = _FINE_RING_SCALE
        if self._ring_scale > 1:
            values = tuple(round(value / self._ring_scale) for value in values)
        self._ring_seen_us = newest
        samples = [
            ((newest - at) / 1e6, percent) for at, percent in zip(times, values, strict=True) if at > seen
        ]
        return tuple(samples)

    def _fields(self) -> dict[bool, Fields]:
        """The fields of a tick with what is slow, and of one without."""
        known = [name for name in FIELDS if name not in self.missing]
        return {
            True: Fields(self.handle, known),
            False: Fields(self.handle, [name for name in known if name not in SLOW]),
        }

    def _told_fields(self, slow: bool) -> dict[str, Any]:  # noqa: FBT001  as it is asked
        asked = self._batches[slow]
        if not asked.names or "field values" in self.missing:
            return {}
        if (code := asked.ask()) and not self._says("field values", code):
            return {}
        told = asked.values()
        if asked.failed:
            for name, code in asked.failed.items():
                self._says(name, code)
            self._batches = self._fields()
        return told

    def _told_shares(self) -> dict[str, Any]:
        """Of the time since the last call."""
        try:
            if self._gpm is None:
                self._gpm = Gpm(self.handle, self.parent)
                return {}
        except pynvml.NVMLError as error:
            self._says("gpm", error.value)
            return {}
        if (code := self._gpm.ask()) and not self._says("gpm", code):
            return {}
        answers = zip(GPM_METRICS, *self._gpm.values(), strict=True)
        return {name: percent / 100 for name, code, percent in answers if not code}

    def _says(self, name: str, code: int) -> bool:
        """Whether it has answered after all; what it never says is not asked for again.  Raises GpuLost."""
        older = self._numbers.older
        if code == pynvml.NVML_ERROR_FUNCTION_NOT_FOUND and name in older:
            function, arguments = self._numbers.calls[name] = older.pop(name)
            code = function(*arguments)
        if code == pynvml.NVML_ERROR_GPU_IS_LOST:
            raise GpuLost(self.identity.uuid)
        if code in _FOR_EVER:
            self.missing[name] = _FOR_EVER[code]
        return not code
