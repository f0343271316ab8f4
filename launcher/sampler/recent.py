"""The present use of a run's GPUs, from the ends of its spools: cheap enough to read again and again."""

import time
from collections.abc import Iterator
from pathlib import Path

from ...estimator.gpu_use.reading import GpuReading, Tick
from ...estimator.gpu_use.rollup import ALL_TIMES_S, roll_up
from .spool import SUFFIX
from .spool_reader import read_latest_items

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
