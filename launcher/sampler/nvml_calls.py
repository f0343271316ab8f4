"""NVML's functions about one GPU, called with memory that is made once.

pynvml gives the library, the layouts and the numbers.  Its own functions make the memory for an answer, and Python
objects of it, anew at each call, which costs more than the driver's part; a sampler calls ten of them for each GPU
and second.  Here all calls return NVML's code; what it means is for `nvml_device` to say.
"""

import ctypes
import struct
from collections.abc import Callable, Iterable
from ctypes import byref
from functools import cache, partial
from typing import Any

import pynvml

Call = tuple[Callable[..., int], tuple[Any, ...]]  # what is called at every tick, and with what

_ALL_LINKS = 0xFFFFFFFF  # scope 0 would be link 0 only
# One driver call fetches all of these; each comes back with a return code of its own.
FIELDS = {
    "energy_mj": (pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, 0),
    "power_mw": (pynvml.NVML_FI_DEV_POWER_INSTANT, 0),
    "nvlink_tx_kib": (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, _ALL_LINKS),
    "nvlink_rx_kib": (pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, _ALL_LINKS),
    "pcie_tx_bytes": (pynvml.NVML_FI_DEV_PCIE_COUNT_TX_BYTES, 0),
    "pcie_rx_bytes": (pynvml.NVML_FI_DEV_PCIE_COUNT_RX_BYTES, 0),
}
GPM_METRICS = {
    "sm_active": pynvml.NVML_GPM_METRIC_SM_UTIL,
    "occupancy": pynvml.NVML_GPM_METRIC_SM_OCCUPANCY,
    "tensor_active": pynvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL,
    "dram_active": pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL,
}

_FIELD = pynvml.c_nvmlFieldValue_t
_FIELD_HEAD = f"{_FIELD.valueType.offset}xIi8x"  # its kind and return code
_FIELD_KINDS = "dIQQqiH"  # of its value, by nvmlValueType_t
_SAMPLE = "QI4x"  # nvmlSample_t: microseconds, and the first member of its union
_GPM = pynvml.c_nvmlGpmMetricsGet_t
_GPM_PAIR = struct.Struct("PP")
_GPM_METRIC = "4xid24x"  # nvmlGpmMetric_t: its return code and value


_packing = cache(struct.Struct)  # GPUs share them: what a tick touches is what it costs


def function(symbol: str) -> Callable[..., int]:
    """A function of the library that pynvml has loaded; one that an old driver lacks says so when it is called."""
    found: Callable[..., int] = getattr(pynvml.nvmlLib, symbol, _function_not_found)
    return found


def _function_not_found(*_: Any) -> int:
    return int(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)


class _NumbersMemory(ctypes.Structure):
    _fields_ = (
        ("utilisation", pynvml.c_nvmlUtilization_t),
        ("memory", pynvml.c_nvmlMemory_v2_t),
        ("temperature", pynvml.c_nvmlTemperature_v1_t),
        ("sm_clock", ctypes.c_uint),
        ("memory_clock", ctypes.c_uint),
        ("clock_reasons", ctypes.c_ulonglong),
        ("power", ctypes.c_uint),
        ("processes", ctypes.c_uint),
    )


class Numbers:
    """What is asked by a call each; `older` are the calls of drivers that lack those of `calls`."""

    _layout = struct.Struct("II 32xQ 8xI I I Q I I")  # of the memory, only what is used

    def __init__(self, handle: Any) -> None:
        self._memory = memory = _NumbersMemory()
        memory.memory.version = pynvml.nvmlMemory_v2
        memory.temperature.version = pynvml.nvmlTemperature_v1
        memory.temperature.sensorType = pynvml.NVML_TEMPERATURE_GPU

        def ask(symbol: str, *arguments: int, to: int) -> Call:
            return function(symbol), (handle, *arguments, byref(memory, to))

        place = {name: getattr(_NumbersMemory, name).offset for name, _ in _NumbersMemory._fields_}
        old_used = pynvml.c_nvmlMemory_v2_t.used.offset - pynvml.c_nvmlMemory_t.used.offset
        old_heat = pynvml.c_nvmlTemperature_v1_t.temperature.offset
        clock, reasons, heat = (
            "nvmlDeviceGetClockInfo",
            "nvmlDeviceGetCurrentClocks",
            "nvmlDeviceGetTemperature",
        )
        self.calls: dict[str, Call] = {
            "utilisation": ask("nvmlDeviceGetUtilizationRates", to=place["utilisation"]),
            "memory": ask("nvmlDeviceGetMemoryInfo_v2", to=place["memory"]),
            "temperature": ask(f"{heat}V", to=place["temperature"]),
            "sm clock": ask(clock, pynvml.NVML_CLOCK_SM, to=place["sm_clock"]),
            "memory clock": ask(clock, pynvml.NVML_CLOCK_MEM, to=place["memory_clock"]),
            "clock reasons": ask(f"{reasons}EventReasons", to=place["clock_reasons"]),
            "power": ask("nvmlDeviceGetPowerUsage", to=place["power"]),
            "processes": (self._count_processes, (handle, byref(memory, place["processes"]))),
        }
        self.older: dict[str, Call] = {
            "memory": ask("nvmlDeviceGetMemoryInfo", to=place["memory"] + old_used),
            "temperature": ask(heat, pynvml.NVML_TEMPERATURE_GPU, to=place["temperature"] + old_heat),
            "clock reasons": ask(f"{reasons}ThrottleReasons", to=place["clock_reasons"]),
        }

    def _count_processes(self, handle: Any, count: Any) -> int:
        self._memory.processes = 0  # room for none: the driver says for how many there should be
        code = function("nvmlDeviceGetComputeRunningProcesses_v3")(handle, count, None)
        return 0 if code == pynvml.NVML_ERROR_INSUFFICIENT_SIZE else code

    def values(self) -> tuple[int, ...]:
        """Per cent of the GPU and its memory, bytes, degrees, clocks (2), reasons, mW, processes; as last told."""
        return self._layout.unpack_from(self._memory)


class Fields:
    """Several fields by one call; `failed` has NVML's code for those that it told no value of."""

    def __init__(self, handle: Any, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.failed: dict[str, int] = {}
        self._memory = (_FIELD * len(self.names))()
        for field, name in zip(self._memory, self.names, strict=True):
            field.fieldId, field.scopeId = FIELDS[name]
        self._heads = _packing(_FIELD_HEAD * len(self.names))
        self._known_heads: tuple[int, ...] = ()
        self.ask = partial(function("nvmlDeviceGetFieldValues"), handle, len(self.names), byref(self._memory))

    def values(self) -> dict[str, Any]:
        """What was told last."""
        heads = self._heads.unpack_from(self._memory)
        if heads != self._known_heads:  # they hardly ever change, and so does what follows of them
            self._follow(heads)
        return dict(zip(self._told, self._values.unpack_from(self._memory), strict=True))

    def _follow(self, heads: tuple[int, ...]) -> None:
        answers = list(zip(self.names, heads[::2], heads[1::2], strict=True))
        self.failed = {name: code for name, _, code in answers if code}
        self._told = [name for name, _, code in answers if not code]
        self._values = _packing("=" + "".join(_field_value(kind, code) for _, kind, code in answers))
        self._known_heads = heads


def _field_value(kind: int, code: int) -> str:
    """How to unpack the value from its nvmlFieldValue_t."""
    if code:
        return f"{ctypes.sizeof(_FIELD)}x"
    member = _FIELD_KINDS[kind : kind + 1] or "Q"
    return f"{_FIELD.value.offset}x{member}{ctypes.sizeof(_FIELD) - _FIELD.value.offset - struct.calcsize(member)}x"


class Ring:
    """The driver's own samples of utilisation."""

    def __init__(self, handle: Any) -> None:
        self._count, self._since, self._kind = ctypes.c_uint(), ctypes.c_ulonglong(), ctypes.c_uint()
        self._call = partial(
            function("nvmlDeviceGetSamples"),
            handle,
            pynvml.NVML_GPU_UTILIZATION_SAMPLES,
            self._since,
            byref(self._kind),
            byref(self._count),
        )
        self._room = 0

    def ask(self, since_us: int) -> int:
        """Ask for what is newer; how many samples there can be is asked before, and again if they are more."""
        if not self._room and (code := self._make_room()):
            return code
        self._since.value, self._count.value = since_us, self._room
        code = self._call(self._memory)
        if code == pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
            self._room = 0
        return code

    def _make_room(self) -> int:
        self._count.value = 0
        code = self._call(None)
        if not code:
            self._room = self._count.value
            self._memory = (pynvml.c_nvmlSample_t * self._room)()
        return code

    def values(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The times in microseconds, and the values, of the samples that were told last."""
        told = _packing(_SAMPLE * self._count.value).unpack_from(self._memory)
        return told[::2], told[1::2]


class Gpm:
    """Shares of the time between two calls, from the GPU performance monitor.  Raises NVMLError where there is none."""

    def __init__(self, handle: Any, parent: Any) -> None:
        if not pynvml.nvmlGpmQueryDeviceSupport(parent or handle).isSupportedDevice:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        if parent is None:
            self._take = partial(function("nvmlGpmSampleGet"), handle)
        else:
            instance = pynvml.nvmlDeviceGetGpuInstanceId(handle)
            self._take = partial(function("nvmlGpmMigSampleGet"), parent, instance)
        self._before, self._now = (
            ctypes.cast(pynvml.nvmlGpmSampleAlloc(), ctypes.c_void_p) for _ in range(2)
        )
        if code := self._take(self._before):
            raise pynvml.NVMLError(code)
        self._memory = asked = _GPM()  # 19 KB
        asked.version, asked.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(GPM_METRICS)
        for metric, number in zip(asked.metrics, GPM_METRICS.values(), strict=False):
            metric.metricId = number
        self._compare = partial(function("nvmlGpmMetricsGet"), byref(asked))
        self._layout = _packing(_GPM_METRIC * len(GPM_METRICS))

    def ask(self) -> int:
        """Take a sample and compare it with the one before."""
        if code := self._take(self._now):
            return code
        before, now = self._before, self._now
        _GPM_PAIR.pack_into(self._memory, _GPM.sample1.offset, before.value, now.value)
        self._before, self._now = now, before
        return self._compare()

    def values(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """NVML's code for each metric, and its value in per cent."""
        told = self._layout.unpack_from(self._memory, _GPM.metrics.offset)
        return told[::2], told[1::2]
