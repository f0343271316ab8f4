"""The parts of `report.py` that only ask NVML: the catalogue's numbers, which calls are answered, and their time."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pynvml

from clusterplan.cluster_profiles.gpu import find_gpu
from clusterplan.errors import InputError

CALLS = 200
TOLERANCE = 0.1  # memory and power limit of one product differ by variant and by what the driver keeps


def compare_catalogue(device: Any) -> Iterator[str]:
    """Yield the catalogue's numbers of this GPU beside the driver's own."""
    try:
        gpu = find_gpu(device.identity.name)
    except InputError as error:
        yield f"The catalogue does not have it: {error}."
        return
    capability = ".".join(map(str, gpu.compute_capability))
    is_same = capability == device.identity.compute_capability
    yield f"| `{gpu.key}` | catalogue | driver | agree |"
    yield "|---|---:|---:|---|"
    yield f"| compute capability | {capability} | {device.identity.compute_capability} | {yes_no(is_same)} |"
    memory = device.identity.memory_bytes
    yield _compare("memory in GB", gpu.memory_bytes / 1e9, memory / 1e9 if memory else None)
    yield _compare("power limit in W", gpu.tdp_w, _default_limit_w(device))


def _default_limit_w(device: Any) -> Any:
    try:
        return float(pynvml.nvmlDeviceGetPowerManagementDefaultLimit(device.handle)) / 1000
    except pynvml.NVMLError:
        return device.identity.power_limit_w  # which an administrator may have lowered


def _compare(name: str, stated: float | None, answered: float | None) -> str:
    if not stated or not answered:
        return f"| {name} | {stated or 'unknown'} | {answered or 'not answered'} | unknown |"
    agree = abs(answered / stated - 1) < TOLERANCE
    return f"| {name} | {stated:.1f} | {answered:.1f} | {yes_no(agree)} |"


def time_calls(device: Any) -> Iterator[str]:
    """Yield the time of each call of a tick, the refused metrics, and the depth of the driver's ring."""
    ring = _describe_ring(device)
    device.read(0)
    device.read(0)  # the second reading has shares too: what is refused has been refused by now
    yield f"| call | median of {CALLS}, in us | P90, in us |"
    yield "|---|---:|---:|"
    for name, call in _calls_of_a_tick(device).items():
        try:
            times = _times_us(call)
        except pynvml.NVMLError as error:
            yield f"| {name} | {error} | |"
        else:
            yield f"| {name} | {statistics.median(times):.0f} | {statistics.quantiles(times, n=10)[-1]:.0f} |"
    refused = ", ".join(f"`{name}` ({reason})" for name, reason in sorted(device.unread.items()))
    yield f"\nRefused: {refused or 'nothing'}."
    yield f"GPM: {'refused' if 'sm_active' in device.unread else 'permitted'}."
    yield ring


def _calls_of_a_tick(device: Any) -> dict[str, Callable[[], Any]]:
    calls: dict[str, Callable[[], Any]] = {}
    for query in device._queries:
        metrics = ", ".join(f"`{name}`" for name, _ in query.metrics)
        calls[f"`{query.function.__name__}`: {metrics}"] = partial(query.function, *query.arguments)
    return calls | {
        f"`nvmlDeviceGetFieldValues`: {len(device._fields)} fields": lambda: device._read_fields({}),
        f"`nvmlGpmSampleGet`, `nvmlGpmMetricsGet`: {len(device._gpm_ids)} shares": lambda: device._read_gpm(
            {}
        ),
        "`nvmlDeviceGetSamples`: the ring": device.read_ring,
        "a whole reading": lambda: device.read(0),
    }


def _describe_ring(device: Any) -> str:
    """Return a sentence on all samples of utilisation that the driver holds."""
    device._ring_last_us = 0
    samples = device.read_ring()
    if not samples:
        return "The driver keeps no samples of utilisation."
    span_s = samples[0][0]
    gap_ms = 1000 * span_s / max(len(samples) - 1, 1)
    scale = f", in 1/{device._ring_scale:,} %" if device._ring_scale > 1 else ""
    return f"The ring holds {len(samples)} samples of {gap_ms:.0f} ms{scale}: {span_s:.1f} s."


def _times_us(call: Callable[[], Any]) -> list[float]:
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e6)
    return times


def yes_no(value: object) -> str:
    return "yes" if value else "no"
