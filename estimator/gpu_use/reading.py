"""Readings of a node's GPUs, tick by tick, and events: plain frozen values.

The sampler on a node imports this module, so it needs the standard library only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from .metrics import Call, Display, Field, Gauge, Gpm, Metric, Rolled

LATEST_S = 4_102_444_800.0  # 2100-01-01: a Unix time after it is no time of a reading
MOST_LIMITS = 3.0  # times its limit, that a GPU draws for a moment
MOST_MEMORIES = 2.0  # times its memory, that a driver may count as used with what it reserves
ALL_LINKS = 0xFFFFFFFF  # as NVML's scope; scope 0 would be link 0 only


def _share(gpm: str, column: str, title: str | None = None) -> Metric:
    """Return the metric of a share of time, from the performance monitor; the report shows it under `title`."""
    gauge = Gauge(1.0, "mean share of time", per_run=True)
    display = Display(column, title, "%", 100.0, gauge) if title else None
    return Metric("share", Gpm(gpm), "H", 1000, (Rolled(column, "mean", 100_000),), display)


class GpuReading(NamedTuple):
    """One GPU at one tick; a value that could not be read is None, never 0.

    New metrics go to the end, before `ring`: spools and blocks keep them in this order, and old ones stay readable.
    `ring` holds the driver's own utilisation samples since the tick before, oldest first: (seconds before the newest
    of them, per cent).  Shares are of the time since the reading before: SMs active, warps resident, tensor cores and
    DRAM busy.
    """

    gpu: int  # its place in the spool's header
    utilisation_percent: Annotated[
        int | None,
        Metric(
            "%",
            Call("nvmlDeviceGetUtilizationRates", attribute="gpu"),
            "B",
            rolled=(
                Rolled("utilisation_mean", "mean", 1000),  # of the driver's own samples, where there are any
                Rolled("utilisation_min", "min"),
                Rolled("utilisation_max", "max"),
                Rolled("utilisation_p50", "p50"),
            ),
            display=Display("utilisation_mean", "utilisation", "%", gauge=Gauge(100.0, "mean", per_run=True)),
        ),
    ] = None
    memory_utilisation_percent: Annotated[
        int | None,
        Metric(
            "%",
            Call("nvmlDeviceGetUtilizationRates", attribute="memory"),
            "B",
            rolled=(Rolled("memory_utilisation_mean", "mean", 1000),),
        ),
    ] = None
    memory_used_bytes: Annotated[
        int | None,
        Metric(
            "bytes",
            Call("nvmlDeviceGetMemoryInfo", ("nvmlMemory_v2",), "used"),
            "Q",
            most=2**44,  # 16 TiB
            rolled=(Rolled("memory_peak_bytes", "max"),),
            display=Display(
                "memory_peak_bytes",
                "memory peak",
                "GiB",
                1 / 2**30,
                Gauge("memory_bytes", "of the fullest GPU", "max"),
            ),
        ),
    ] = None
    power_mw: Annotated[
        int | None,
        Metric(
            "mW",
            Field("NVML_FI_DEV_POWER_INSTANT"),
            "I",
            rolled=(Rolled("power_mean_w", None, 1000), Rolled("power_max_w", None, 1000)),
            display=Display("power_mean_w", "power", "W", gauge=Gauge("power_limit_w", "mean, of the limit")),
        ),
    ] = None
    temperature_c: Annotated[
        int | None,
        Metric(
            "C",
            Call("nvmlDeviceGetTemperature", ("NVML_TEMPERATURE_GPU",)),
            "H",
            rolled=(Rolled("temperature_max_c", "max"),),
        ),
    ] = None
    sm_clock_mhz: Annotated[
        int | None,
        Metric(
            "MHz",
            Call("nvmlDeviceGetClockInfo", ("NVML_CLOCK_SM",)),
            "H",
            rolled=(Rolled("sm_clock_mean_mhz", "mean", 1000),),
        ),
    ] = None
    memory_clock_mhz: Annotated[
        int | None, Metric("MHz", Call("nvmlDeviceGetClockInfo", ("NVML_CLOCK_MEM",)), "H")
    ] = None
    clock_reasons: Annotated[  # NVML's bit mask
        int | None,
        Metric(
            "mask",
            Call("nvmlDeviceGetCurrentClocksEventReasons"),
            "Q",
            rolled=(Rolled("throttled_share", None, 100_000),),
        ),
    ] = None
    energy_mj: Annotated[  # since the driver was loaded
        int | None,
        Metric(
            "mJ",
            Field("NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION"),
            "Q",
            rolled=(Rolled("energy_first_mj", None), Rolled("energy_last_mj", None)),
            display=Display("energy_j", "energy", "kJ", 1 / 1000),
        ),
    ] = None
    pcie_tx_bytes: Annotated[  # counters, likewise
        int | None, Metric("bytes", Field("NVML_FI_DEV_PCIE_COUNT_TX_BYTES"), "Q")
    ] = None
    pcie_rx_bytes: Annotated[int | None, Metric("bytes", Field("NVML_FI_DEV_PCIE_COUNT_RX_BYTES"), "Q")] = (
        None
    )
    nvlink_tx_kib: Annotated[
        int | None, Metric("KiB", Field("NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX", ALL_LINKS), "Q")
    ] = None
    nvlink_rx_kib: Annotated[
        int | None, Metric("KiB", Field("NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX", ALL_LINKS), "Q")
    ] = None
    sm_active: Annotated[float | None, _share("NVML_GPM_METRIC_SM_UTIL", "sm_active_mean", "SMs")] = None
    occupancy: Annotated[float | None, _share("NVML_GPM_METRIC_SM_OCCUPANCY", "occupancy_mean")] = None
    tensor_active: Annotated[
        float | None, _share("NVML_GPM_METRIC_ANY_TENSOR_UTIL", "tensor_active_mean", "tensor cores")
    ] = None
    dram_active: Annotated[float | None, _share("NVML_GPM_METRIC_DRAM_BW_UTIL", "dram_active_mean")] = None
    processes: Annotated[
        int | None, Metric("processes", Call("nvmlDeviceGetComputeRunningProcesses_v3"), "H")
    ] = None
    ring: tuple[tuple[float, int], ...] = ()


def _metric(annotation: Any) -> Metric | None:
    return next((part for part in getattr(annotation, "__metadata__", ()) if isinstance(part, Metric)), None)


# Every metric by its name in a reading, in that order.
METRICS: dict[str, Metric] = {
    name: metric
    for name, annotation in GpuReading.__annotations__.items()
    if (metric := _metric(annotation)) is not None
}

# What a run's report shows per GPU, in the order of the table's columns.
DISPLAYS: tuple[Display, ...] = tuple(metric.display for metric in METRICS.values() if metric.display)


def largest_values(
    memory_bytes: float | None = None, power_limit_w: float | None = None
) -> tuple[float, ...]:
    """Return the largest value of each metric that can be, of a GPU with this memory and this limit where they are known."""
    most = {name: metric.largest for name, metric in METRICS.items()}
    if memory_bytes:
        most["memory_used_bytes"] = MOST_MEMORIES * memory_bytes
    if power_limit_w:
        most["power_mw"] = min(most["power_mw"], 1000 * MOST_LIMITS * power_limit_w)
    return tuple(most.values())


def leave_out_impossible(reading: GpuReading, most: Sequence[float]) -> tuple[GpuReading, int]:
    """Return a reading without the values that cannot be, and their number; `most` is of `largest_values`.

    >>> reading = GpuReading(0, utilisation_percent=400, power_mw=-1, temperature_c=60, ring=((0.1, 101), (0.0, 90)))
    >>> clean, number = leave_out_impossible(reading, largest_values())
    >>> clean.utilisation_percent, clean.power_mw, clean.temperature_c, clean.ring, number
    (None, None, 60, ((0.0, 90),), 3)
    """
    values = reading[1:-1]
    is_sound = [value is None or 0 <= value <= limit for value, limit in zip(values, most, strict=True)]
    ring = reading.ring
    if all(is_sound) and not any(not 0 <= percent <= 100 for _, percent in ring):  # noqa: PLR2004  per cent
        return reading, 0
    kept = [value if sound else None for value, sound in zip(values, is_sound, strict=True)]
    sound_ring = tuple(sample for sample in ring if 0 <= sample[1] <= 100)  # noqa: PLR2004  per cent
    number = is_sound.count(False) + len(ring) - len(sound_ring)
    return GpuReading._make((reading.gpu, *kept, sound_ring)), number


class SpoolPosition(NamedTuple):
    """How far a spool is read: a byte of it, the whole frames before it, and the sequence of the latest.

    `damaged_bytes` belong to no whole frame, to a copy of one, or to one whose content cannot be read; `dropped` are
    values that cannot be.  `seen_bytes` is the size of the file when all of it was looked at: behind `offset` there may
    be a frame that a killed writer began.
    """

    offset: int = 0
    frames: int = 0
    damaged_bytes: int = 0
    sequence: int = -1
    dropped: int = 0
    seen_bytes: int = -1


@dataclass(frozen=True, slots=True)
class Tick:
    """One round of readings; `time_s` is Unix time."""

    time_s: float
    readings: tuple[GpuReading, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """An event on a node, of one GPU (`gpu`: its place in the spool's header) or of the sampler.  `time_s` is Unix time."""

    time_s: float
    kind: str
    text: str
    gpu: int | None = None
