"""The present use of a run's GPUs, from the ends of its spools: cheap enough to read again and again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import SpoolError
from ...estimator.gpu_use.reading import GpuReading, Tick
from ...estimator.gpu_use.rollup import ALL_TIMES_S, roll_up
from .spool import SUFFIX
from .spool_reader import open_spool, read_latest_items

UTILISATION_WINDOW_S = 10.0
_STALE_S = 60.0  # a spool that has not grown for longer has no sampler any more
_END_BYTES = 1 << 16  # more than ten ticks of 16 GPUs


def recent_utilisation(folder: Path) -> float | None:
    """Return the mean utilisation of the last `UTILISATION_WINDOW_S`, in per cent, over the GPUs of the run in `folder`.

    None if nothing is sampled.
    """
    rows = [row for path in folder.glob(f"*{SUFFIX}") for row in _recent_rows(path)]
    rollups = roll_up(rows, ALL_TIMES_S)
    return rollups[0].values["utilisation_mean"] if rollups else None


@dataclass(frozen=True)
class RecentGpu:
    """One GPU of a run by its latest reading: its node, its index there, and what was read; None is not known."""

    node: str
    index: str
    utilisation_percent: float | None
    memory_used_bytes: int | None
    memory_bytes: int | None
    power_w: float | None


def recent_gpus(folder: Path) -> list[RecentGpu]:
    """Return the GPUs of the run in `folder` as they are now, by node and index; none that is not sampled any more."""
    return [gpu for path in sorted(folder.glob(f"*{SUFFIX}")) for gpu in _gpus_of(path)]


def _gpus_of(path: Path) -> Iterator[RecentGpu]:
    latest = {reading.gpu: reading for _, reading in _recent_rows(path)}
    try:
        with open_spool(path) as (_, header):
            pass
    except SpoolError:
        return
    for place, reading in sorted(latest.items()):
        gpu = header.gpus[place] if place < len(header.gpus) else None
        power_mw = reading.power_mw
        yield RecentGpu(
            header.node,
            (gpu and gpu.index) or str(place),
            reading.utilisation_percent,
            reading.memory_used_bytes,
            gpu.memory_bytes if gpu else None,
            None if power_mw is None else power_mw / 1000,
        )


def _recent_rows(path: Path) -> Iterator[tuple[float, GpuReading]]:
    try:
        if time.time() - path.stat().st_mtime > _STALE_S:
            return
        ticks = [item for item in read_latest_items(path, _END_BYTES) if isinstance(item, Tick)]
    except OSError:
        return
    for tick in ticks:
        if tick.time_s > ticks[-1].time_s - UTILISATION_WINDOW_S:  # by the node's own clock
            yield from ((tick.time_s, reading) for reading in tick.readings)
