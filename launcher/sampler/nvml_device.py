"""One GPU, or one MIG instance, read through pynvml: every metric of the registry, and the driver's own samples."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import pynvml

from ...errors import GpuLost
from ...estimator.gpu_use.metrics import Call, Field, Gpm
from ...estimator.gpu_use.reading import METRICS, GpuReading

NOT_SUPPORTED = "not supported"

_FINAL = {  # codes that stay the same while the driver is loaded
    pynvml.NVML_ERROR_NOT_SUPPORTED: NOT_SUPPORTED,
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "not in this driver",
    pynvml.NVML_ERROR_INVALID_ARGUMENT: "not in this driver",
}
# The call to make once the registry's own source is never answered.
_FALLBACKS: dict[Call | Field | Gpm, Call] = {
    Call("nvmlDeviceGetMemoryInfo", ("nvmlMemory_v2",), "used"): Call("nvmlDeviceGetMemoryInfo", (), "used"),
    Call("nvmlDeviceGetTemperature", ("NVML_TEMPERATURE_GPU",)): Call(  # gone in CUDA 14
        "nvmlDeviceGetTemperatureV", ("NVML_TEMPERATURE_GPU",)
    ),
    Call("nvmlDeviceGetCurrentClocksEventReasons"): Call("nvmlDeviceGetCurrentClocksThrottleReasons"),
    Call("nvmlDeviceGetComputeRunningProcesses_v3"): Call("nvmlDeviceGetComputeRunningProcesses_v2"),
    Field("NVML_FI_DEV_POWER_INSTANT"): Call("nvmlDeviceGetPowerUsage"),
}
# Members of pynvml's structures.  As attributes they would pass through a __getattribute__ in Python, which is several
# times slower.
_field_code = pynvml.c_nvmlFieldValue_t.nvmlReturn.__get__
_field_value = pynvml.c_nvmlFieldValue_t.value.__get__
_gpm_code = pynvml.c_nvmlGpmMetric_t.nvmlReturn.__get__
_gpm_value = pynvml.c_nvmlGpmMetric_t.value.__get__
_sample_time_us = pynvml.c_nvmlSample_t.timeStamp.__get__
_sample_value = pynvml.c_nvmlSample_t.sampleValue.__get__

_CONVERSIONS: dict[str, Callable[[Any], Any]] = {"processes": len}
_FINE_RING_SCALE = 10_000  # some drivers keep utilisation in 1/10,000 %


@dataclass(frozen=True)
class GpuIdentity:
    """The properties of one GPU, or of one MIG instance on it, that do not change."""

    uuid: str
    name: str
    index: str  # as nvidia-smi shows it: "0"; a MIG instance "0:1"
    memory_bytes: int | None
    power_limit_w: float | None
    compute_capability: str | None
    mig_parent: str | None = None  # the UUID of its GPU


class _Query(NamedTuple):
    """One call of NVML per tick, and the metrics in its answer, each with a conversion (None: the answer itself)."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    metrics: tuple[tuple[str, Callable[[Any], Any] | None], ...]


class Device:
    """One GPU that is sampled.  `unread` says why a metric, or the ring, is not asked for any more."""

    def __init__(self, identity: GpuIdentity, handle: Any, parent: Any = None) -> None:
        self.identity = identity
        self.handle = handle
        self.parent = parent  # the handle of the GPU that a MIG instance is on
        self.unread: dict[str, str] = {}
        self._sources = {name: metric.source for name, metric in METRICS.items()}
        self._gpm: _Gpm | None = None
        self._ring_last_us, self._ring_scale = 0, 1
        self._prepare()

    def read(self, place: int) -> GpuReading:
        """Return reading number `place` of a tick.  Raises GpuLost once the GPU has fallen off the bus."""
        values: dict[str, Any] = dict.fromkeys(METRICS)
        self._read_calls(self._queries, values)
        if self._fields:
            self._read_fields(values)
        if self._gpm_ids:
            self._read_gpm(values)
        return GpuReading._make((place, *values.values(), self.read_ring()))

    def read_ring(self) -> tuple[tuple[float, int], ...]:
        """Return the driver's own samples of utilisation since the last call, as a reading has them."""
        if "ring" in self.unread:
            return ()
        last = self._ring_last_us
        try:
            samples = pynvml.nvmlDeviceGetSamples(self.handle, pynvml.NVML_GPU_UTILIZATION_SAMPLES, last)[1]
        except pynvml.NVMLError as error:
            if reason := self._final_reason(error.value):
                self.unread["ring"] = reason
            return ()
        fresh = [
            (t, _sample_value(sample).uiVal) for sample in samples if (t := _sample_time_us(sample)) > last
        ]
        if not fresh:
            return ()
        if self._ring_scale == 1 and max(level for _, level in fresh) > 100:  # noqa: PLR2004  per cent
            self._ring_scale = _FINE_RING_SCALE
        newest = self._ring_last_us = max(fresh)[0]
        return tuple(
            [((newest - time_us) / 1e6, round(level / self._ring_scale)) for time_us, level in fresh]
        )

    def ring_depth(self) -> int | None:
        """Return how many samples the driver holds now, None if none.

        The ring's scale is learnt from them, and they are not read again: they are from before the job.
        """
        return len(self.read_ring()) or None

    def _prepare(self) -> None:
        """Lay out the calls of a tick: one per function and arguments, one for all fields, one pair for all of GPM."""
        sources = self._sources.items()
        self._queries = _queries(self.handle, {name: s for name, s in sources if isinstance(s, Call)})
        self._fields = {
            name: (getattr(pynvml, s.name), s.scope) for name, s in sources if isinstance(s, Field)
        }
        self._field_ids = list(self._fields.values())
        self._gpm_ids = {name: getattr(pynvml, s.name) for name, s in sources if isinstance(s, Gpm)}

    def _read_calls(self, queries: Iterable[_Query], values: dict[str, Any]) -> None:
        for function, arguments, metrics in queries:
            try:
                answer = function(*arguments)
            except pynvml.NVMLError as error:
                self._give_up([name for name, _ in metrics], error.value, values)
                continue
            for name, convert in metrics:
                values[name] = convert(answer) if convert else answer

    def _read_fields(self, values: dict[str, Any]) -> None:
        try:
            answers = pynvml.nvmlDeviceGetFieldValues(self.handle, self._field_ids)
        except pynvml.NVMLError as error:
            self._give_up(list(self._fields), error.value, values)
            return
        for name, answer in zip(self._fields, answers, strict=True):
            if code := _field_code(answer):
                self._give_up([name], code, values)
            else:  # the widest member of the union: pynvml zeroes it, and every field is unsigned
                values[name] = _field_value(answer).ullVal

    def _read_gpm(self, values: dict[str, Any]) -> None:
        """Read the shares of the time since the last call; the first call only begins."""
        try:
            if self._gpm is None:
                self._gpm = _Gpm(self.handle, self.parent, list(self._gpm_ids.values()))
                return
            answers = self._gpm.read()
        except pynvml.NVMLError as error:
            self._give_up(list(self._gpm_ids), error.value, values)
            return
        for name, answer in zip(self._gpm_ids, answers, strict=True):
            if not (code := _gpm_code(answer)):
                values[name] = _gpm_value(answer) / 100
            elif name not in self.unread and (reason := self._final_reason(code)):
                self.unread[name] = reason  # it stays in the request, which is one call for all

    def _give_up(self, names: Sequence[str], code: int, values: dict[str, Any]) -> None:
        """Ask for metrics by their fallback at once, or never again, if `code` is final."""
        reason = self._final_reason(code)
        if reason is None:
            return
        fallbacks = {}
        for name in names:
            fallback = _FALLBACKS.get(self._sources.pop(name))
            if fallback is None:
                self.unread[name] = reason
            else:
                fallbacks[name] = self._sources[name] = fallback
        self._prepare()
        self._read_calls(_queries(self.handle, fallbacks), values)

    def _final_reason(self, code: int) -> str | None:
        """Return why it is useless to ask again, None if it is not.  Raises GpuLost."""
        if code == pynvml.NVML_ERROR_GPU_IS_LOST:
            raise GpuLost(self.identity.uuid)
        return _FINAL.get(code)


def _queries(handle: Any, calls: Mapping[str, Call]) -> list[_Query]:
    """Return one query per function and arguments; metrics that differ only by attribute share it."""
    metrics: dict[tuple[str, tuple[str, ...]], list[tuple[str, Callable[[Any], Any] | None]]] = {}
    for name, call in calls.items():
        convert = attrgetter(call.attribute) if call.attribute else _CONVERSIONS.get(name)
        metrics.setdefault((call.function, call.arguments), []).append((name, convert))
    return [
        _Query(
            getattr(pynvml, function),
            (handle, *(getattr(pynvml, argument) for argument in arguments)),
            tuple(converted),
        )
        for (function, arguments), converted in metrics.items()
    ]


class _Gpm:
    """Metrics of the time between two reads.  Both samples and the request of 19 KB are made once.

    Raises NVMLError if the GPU has no performance monitor, or it may not be used.
    """

    def __init__(self, handle: Any, parent: Any, ids: Sequence[int]) -> None:
        if not pynvml.nvmlGpmQueryDeviceSupport(parent or handle).isSupportedDevice:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        if parent is None:
            self._take_sample = partial(pynvml.nvmlGpmSampleGet, handle)
        else:
            instance = pynvml.nvmlDeviceGetGpuInstanceId(handle)
            self._take_sample = partial(pynvml.nvmlGpmMigSampleGet, parent, instance)
        self._last, self._next = pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()
        self._take_sample(self._last)
        self._request = request = pynvml.c_nvmlGpmMetricsGet_t()
        request.version, request.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(ids)
        self._answers = [request.metrics[i] for i in range(len(ids))]  # views of the request's memory
        for answer, metric in zip(self._answers, ids, strict=True):
            answer.metricId = metric

    def read(self) -> Sequence[Any]:
        """Return `nvmlReturn` and `value`, in per cent, of each metric since the last read."""
        self._take_sample(self._next)
        self._request.sample1, self._request.sample2 = self._last, self._next
        self._last, self._next = self._next, self._last
        pynvml.nvmlGpmMetricsGet(self._request)
        return self._answers
