"""NVIDIA's management library as a whole: which GPUs there are, and what happens to them.

With `nvml_device` and `nvml_calls` the only importer of pynvml.  On a node this runs beside a training job, so the
standard library is all else they need.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pynvml

from ...errors import NvmlUnavailable
from .nvml_device import Device, GpuIdentity

T = TypeVar("T")

_CRITICAL_EVENTS = pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError


@contextlib.contextmanager
def open_library() -> Iterator["Library"]:
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

    memory = told(pynvml.nvmlDeviceGetMemoryInfo)
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
