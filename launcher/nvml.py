"""NVIDIA's management library: which GPUs are ours, and what each of them says now.

The only importer of pynvml.  A value that cannot be read is None; what a GPU does not support is asked
for once.  On a node this runs beside a training job, so the standard library is all else it needs.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pynvml

from ..errors import GpuLost, NvmlUnavailable
from ..estimator.gpu_reading import GpuReading

T = TypeVar("T")

_ALL_LINKS = 0xFFFFFFFF  # scope 0 would be link 0 only
# One driver call fetches all of these; each comes back with a return code of its own.
_FIELD_VALUES = {
    "energy_mj": pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,
    "power_mw": pynvml.NVML_FI_DEV_POWER_INSTANT,
    "nvlink_tx_kib": (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, _ALL_LINKS),
    "nvlink_rx_kib": (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, _ALL_LINKS),
    "pcie_tx_bytes": pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES,
    "pcie_rx_bytes": pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES,
}
_GPM_METRICS = {
    "sm_active": pynvml.NVML_GPM_METRIC_SM_UTIL,
    "occupancy": pynvml.NVML_GPM_METRIC_SM_OCCUPANCY,
    "tensor_active": pynvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL,
    "dram_active": pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL,
}
_FOR_EVER = {  # asked for once
    pynvml.NVML_ERROR_NOT_SUPPORTED: "not supported",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "not in this driver",
    pynvml.NVML_ERROR_INVALID_ARGUMENT: "not in this driver",
}
_NOTHING_NEW = pynvml.NVML_ERROR_NOT_FOUND
_CRITICAL_EVENTS = pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError
_FINE_RING_SCALE = 10_000  # some drivers keep utilisation in 1/10,000 %
_VALUE_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")


def _getter(structure: Any, member: str) -> Callable[[Any], Any]:
    # pynvml's structures look every attribute up in Python; the ctypes member itself is three times faster.
    got: Callable[[Any], Any] = getattr(structure, member).__get__
    return got


_field_return = _getter(pynvml.c_nvmlFieldValue_t, "nvmlReturn")
_field_type = _getter(pynvml.c_nvmlFieldValue_t, "valueType")
_field_value = _getter(pynvml.c_nvmlFieldValue_t, "value")
_sample_time = _getter(pynvml.c_nvmlSample_t, "timeStamp")
_sample_value = _getter(pynvml.c_nvmlSample_t, "sampleValue")
_metric_return = _getter(pynvml.c_nvmlGpmMetric_t, "nvmlReturn")
_metric_value = _getter(pynvml.c_nvmlGpmMetric_t, "value")


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


@dataclass
class Device:
    """One GPU that is sampled: its handle, and what it does not support."""

    identity: GpuIdentity
    handle: Any
    parent: Any = None  # the whole GPU's handle, of a MIG slice
    missing: dict[str, str] = field(default_factory=dict)  # what it never says, and why
    _ring_seen_us: int = 0
    _ring_scale: int = 1
    _gpm: tuple[Any, Any] | None = None
    _gpm_asked: Any = None

    def read(self, place: int, *, with_processes: bool) -> GpuReading:
        """What it says now, as reading number `place` of a tick.  Raises GpuLost once it has fallen off the bus."""
        values: dict[str, Any] = dict(self._fields())
        ring, newest_us = self._ring()
        if use := self._ask("utilisation", pynvml.nvmlDeviceGetUtilizationRates, self.handle):
            values |= {"utilisation_percent": use.gpu, "memory_utilisation_percent": use.memory}
        if memory := self._ask("memory", _memory, self.handle):
            values["memory_used_bytes"] = memory.used
        values["temperature_c"] = self._ask("temperature", _temperature, self.handle)
        values["sm_clock_mhz"] = self._ask(
            "clocks", pynvml.nvmlDeviceGetClockInfo, self.handle, pynvml.NVML_CLOCK_SM
        )
        values["memory_clock_mhz"] = self._ask(
            "clocks", pynvml.nvmlDeviceGetClockInfo, self.handle, pynvml.NVML_CLOCK_MEM
        )
        values["clock_reasons"] = self._ask("clock reasons", _clock_reasons, self.handle)
        if values.get("power_mw") is None:
            values["power_mw"] = self._ask("power", pynvml.nvmlDeviceGetPowerUsage, self.handle)
        if with_processes:
            found = self._ask("processes", pynvml.nvmlDeviceGetComputeRunningProcesses_v3, self.handle)
            values["processes"] = None if found is None else len(found)
        values |= self._gpm_shares()
        return GpuReading(
            place, **values, ring=tuple(((newest_us - at) / 1e6, percent) for at, percent in ring)
        )

    def ring_depth(self) -> int | None:
        """How many samples the driver holds now; None where it holds none.

        Their scale is learnt on the way, and what was before the job is not sampled.
        """
        return len(self._ring(since=0)[0]) or None

    def _fields(self) -> Iterator[tuple[str, int | None]]:
        wanted = {name: number for name, number in _FIELD_VALUES.items() if name not in self.missing}
        answers = self._ask(
            "field values", pynvml.nvmlDeviceGetFieldValues, self.handle, list(wanted.values())
        )
        for name, answer in zip(wanted, answers or (), strict=False):
            code = _field_return(answer)
            if code == pynvml.NVML_SUCCESS:
                yield name, int(getattr(_field_value(answer), _VALUE_MEMBERS[_field_type(answer)]))
            elif code == pynvml.NVML_ERROR_GPU_IS_LOST:
                raise GpuLost(self.identity.uuid)
            elif code in _FOR_EVER:
                self.missing[name] = _FOR_EVER[code]

    def _ring(self, since: int | None = None) -> tuple[list[tuple[int, int]], int]:
        """The driver's samples since the last call, and the time of the newest in microseconds."""
        seen = self._ring_seen_us if since is None else since
        found = self._ask(
            "ring", pynvml.nvmlDeviceGetSamples, self.handle, pynvml.NVML_GPU_UTILIZATION_SAMPLES, seen
        )
        samples = (
            [(s.timeStamp, s.sampleValue.uiVal) for s in found[1] if s.timeStamp > seen] if found else []
        )
        if any(value > 100 for _, value in samples):  # noqa: PLR2004  per cent
            self._ring_scale = _FINE_RING_SCALE
        self._ring_seen_us = max([seen, *(at for at, _ in samples)])
        return [(at, round(value / self._ring_scale)) for at, value in samples], self._ring_seen_us

    def _gpm_shares(self) -> dict[str, float]:
        """Shares of the time since the last call, from the GPU performance monitor (Hopper and later)."""
        if "gpm" in self.missing:
            return {}
        if self._gpm is None:
            self._gpm = self._ask("gpm", self._gpm_start)
            return {}
        before, now = self._gpm
        if self._ask("gpm", self._gpm_sample, now) is None:
            return {}
        self._gpm = now, before
        if self._gpm_asked is None:  # 19 KB, so made once
            self._gpm_asked = _gpm_question()
        asked = self._gpm_asked
        asked.sample1, asked.sample2 = before, now
        if self._ask("gpm", pynvml.nvmlGpmMetricsGet, asked) is None:
            return {}
        answers = zip(_GPM_METRICS, asked.metrics, strict=False)
        return {
            name: _metric_value(a) / 100 for name, a in answers if _metric_return(a) == pynvml.NVML_SUCCESS
        }

    def _gpm_start(self) -> tuple[Any, Any]:
        supported = pynvml.nvmlGpmQueryDeviceSupport(self.parent or self.handle)
        if not supported.isSupportedDevice:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        samples = pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()
        self._gpm_sample(samples[0])
        return samples

    def _gpm_sample(self, sample: Any) -> Any:
        if self.parent is None:
            return pynvml.nvmlGpmSampleGet(self.handle, sample)
        instance = pynvml.nvmlDeviceGetGpuInstanceId(self.handle)
        return pynvml.nvmlGpmMigSampleGet(self.parent, instance, sample)

    def _ask(self, name: str, call: Callable[..., T], *arguments: Any) -> T | None:
        """The answer, or None; what is not supported is not asked again."""
        if name in self.missing:
            return None
        try:
            return call(*arguments)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
                raise GpuLost(self.identity.uuid) from None
            if error.value in _FOR_EVER:
                self.missing[name] = _FOR_EVER[error.value]
            return None


def _gpm_question() -> Any:
    asked = pynvml.c_nvmlGpmMetricsGet_t()
    asked.version, asked.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(_GPM_METRICS)
    for i, metric in enumerate(_GPM_METRICS.values()):
        asked.metrics[i].metricId = metric
    return asked


def _memory(handle: Any) -> Any:
    try:
        return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except (pynvml.NVMLError_FunctionNotFound, TypeError):  # an old driver; or nvitop in this process, which
        # puts a function of its own in place of pynvml's
        return pynvml.nvmlDeviceGetMemoryInfo(handle)


def _temperature(handle: Any) -> int:
    try:
        return int(pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU))
    except pynvml.NVMLError_FunctionNotFound:
        return int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))


def _clock_reasons(handle: Any) -> int:
    try:
        return int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except pynvml.NVMLError_FunctionNotFound:
        return int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


@contextlib.contextmanager
def opened() -> Iterator["Library"]:
    """NVML, loaded and started.  Raises NvmlUnavailable where there is none, or it does not answer."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NvmlUnavailable(str(error)) from None
    try:
        yield Library()
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


class Library:
    """What is asked of NVML as a whole."""

    def driver_version(self) -> str | None:
        with contextlib.suppress(pynvml.NVMLError):
            return _text(pynvml.nvmlSystemGetDriverVersion())
        return None

    def devices(self) -> tuple[list[Device], list[str]]:
        """Every GPU, MIG slices in place of the GPUs cut into them, and what was wrong with the others."""
        found: list[Device] = []
        wrong: list[str] = []
        try:
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            return [], [f"GPUs cannot be counted: {error}"]
        for index in range(count):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                whole = Device(_identity(handle, index), handle)
            except pynvml.NVMLError as error:  # one lost GPU must not hide the others
                wrong.append(f"GPU {index}: {error}")
                continue
            found += _slices(whole) or [whole]
        return found, wrong

    def critical_events(
        self, devices: Sequence[Device], stop: Callable[[], bool], wait_ms: int = 1000
    ) -> Iterator[tuple[str, str]]:
        """UUID and text of each XID or double-bit ECC error, as they come, until `stop()`."""
        handles = {d.identity.mig_parent or d.identity.uuid: d.parent or d.handle for d in devices}
        try:
            events = pynvml.nvmlEventSetCreate()
        except pynvml.NVMLError:
            return
        listening = False
        for handle in handles.values():
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlDeviceRegisterEvents(handle, _CRITICAL_EVENTS, events)
                listening = True
        while listening and not stop():
            try:
                event = pynvml.nvmlEventSetWait_v2(events, wait_ms)
            except pynvml.NVMLError as error:
                if error.value == pynvml.NVML_ERROR_TIMEOUT:
                    continue
                break
            yield _event_uuid(event), _event_text(event)
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlEventSetFree(events)


def _slices(whole: Device) -> list[Device]:
    """The MIG slices of a GPU; empty where it is not cut."""
    slices: list[Device] = []
    try:
        if not pynvml.nvmlDeviceGetMigMode(whole.handle)[0]:
            return []
        for i in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(whole.handle)):
            with contextlib.suppress(pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument):
                handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(whole.handle, i)
                identity = _identity(handle, whole.identity.index, whole.identity.uuid)
                slices.append(Device(identity, handle, parent=whole.handle))
    except pynvml.NVMLError:
        return slices
    return slices


def _identity(handle: Any, index: int, mig_parent: str | None = None) -> GpuIdentity:
    def told(call: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return call(handle, *arguments)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
                raise
            return None

    memory = told(_memory)
    limit = told(pynvml.nvmlDeviceGetPowerManagementLimit)
    capability = told(pynvml.nvmlDeviceGetCudaComputeCapability)
    return GpuIdentity(
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(told(pynvml.nvmlDeviceGetName) or "unknown"),
        index=index,
        memory_bytes=memory.total if memory else None,
        power_limit_w=limit / 1000 if limit else None,
        compute_capability=".".join(map(str, capability)) if capability else None,
        mig_parent=mig_parent,
    )


def _event_uuid(event: Any) -> str:
    with contextlib.suppress(pynvml.NVMLError):
        return _text(pynvml.nvmlDeviceGetUUID(event.device))
    return ""


def _event_text(event: Any) -> str:
    if event.eventType & pynvml.nvmlEventTypeXidCriticalError:
        return f"XID {event.eventData}"
    return "double-bit ECC error"


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
