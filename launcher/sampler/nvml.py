"""NVIDIA's management library as a whole: the GPUs of a node, and the critical events on them.

Only this module and `nvml_device` import pynvml.  They run beside a training job, so they need nothing else but the
standard library.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import pynvml

from ...errors import NvmlUnavailable
from ...estimator.gpu_use.notes import name_indices
from .nvml_device import Device, GpuIdentity

T = TypeVar("T")

_CRITICAL_EVENTS = pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError


class Unopened(NamedTuple):
    """Why GPUs cannot be opened, in one line; `kind` is that of the event in a spool."""

    kind: str
    text: str


@contextlib.contextmanager
def open_library() -> Iterator["Library"]:
    """Load and start NVML while the block runs.  Raises NvmlUnavailable if there is none, or it does not answer."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        is_installed = error.value != pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
        raise NvmlUnavailable(_words(error), is_installed=is_installed) from None
    try:
        yield Library()
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


class Library:
    """The questions to NVML that are not about one GPU."""

    def driver_version(self) -> str | None:
        """Return the version of the driver, None if it does not say."""
        with contextlib.suppress(pynvml.NVMLError):
            return _text(pynvml.nvmlSystemGetDriverVersion())
        return None

    def devices(self) -> tuple[list[Device], list[Unopened]]:
        """Return every GPU, and why others cannot be opened; MIG instances stand in for their GPU."""
        devices: list[Device] = []
        failures: dict[tuple[str, str], list[str]] = {}
        try:
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            return [], [Unopened(_kind(error), f"GPUs cannot be counted: {error}")]
        for place in range(count):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(place)
                whole = Device(_identity(handle, _index(handle, place)), handle)
            except pynvml.NVMLError as error:  # one lost GPU must not hide the others
                failures.setdefault((_kind(error), str(error)), []).append(str(place))
                continue
            devices += _mig_instances(whole) or [whole]
        return devices, [
            Unopened(kind, f"{name_indices(indices)}: {reason}")
            for (kind, reason), indices in failures.items()
        ]

    def critical_events(
        self, devices: Sequence[Device], stop: Callable[[], bool], wait_ms: int = 1000
    ) -> Iterator[tuple[str, str]]:
        """Yield the GPU's UUID and a text for each XID or double-bit ECC error as it comes, until `stop()`."""
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


def _mig_instances(whole: Device) -> list[Device]:
    """Return the MIG instances of a GPU; none if it is not in MIG mode."""
    instances: list[Device] = []
    try:
        if not pynvml.nvmlDeviceGetMigMode(whole.handle)[0]:
            return []
        for ordinal in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(whole.handle)):
            with contextlib.suppress(pynvml.NVMLError_NotFound, pynvml.NVMLError_InvalidArgument):
                handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(whole.handle, ordinal)
                identity = _identity(handle, f"{whole.identity.index}:{ordinal}", whole.identity.uuid)
                instances.append(Device(identity, handle, parent=whole.handle))
    except pynvml.NVMLError:
        return instances
    return instances


def _words(error: Any) -> str:
    """Return what the driver's own library calls an error, as nvidia-smi prints it; pynvml has other words for some."""
    with contextlib.suppress(pynvml.NVMLError):
        return _text(pynvml.nvmlErrorString(error.value))
    return str(error)


def _kind(error: Any) -> str:
    return "no_permission" if error.value == pynvml.NVML_ERROR_NO_PERMISSION else "gpu_lost"


def _index(handle: Any, place: int) -> str:
    """Return the index that nvidia-smi shows; a driver that lost a GPU may enumerate the others without a hole."""
    with contextlib.suppress(pynvml.NVMLError):
        return str(pynvml.nvmlDeviceGetIndex(handle))
    return str(place)


def _identity(handle: Any, index: str, mig_parent: str | None = None) -> GpuIdentity:
    def ask(call: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return call(handle, *arguments)
        except pynvml.NVMLError as error:
            if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
                raise
            return None

    memory = ask(pynvml.nvmlDeviceGetMemoryInfo)
    limit = ask(pynvml.nvmlDeviceGetPowerManagementLimit)
    capability = ask(pynvml.nvmlDeviceGetCudaComputeCapability)
    return GpuIdentity(
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(ask(pynvml.nvmlDeviceGetName) or "unknown"),
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
