"""The registry of GPU metrics: the unit of each, how NVML reads it, how it is kept, rolled up and displayed.

`GpuReading` names the metrics, one entry each.  Everything that goes over all of them takes them from it: the
sampler's calls, the spool, the blocks and rollups of the history, the export, and the report's table and gauges.  So a
new metric is one entry in `GpuReading`, and what is special about it.  A metric with `rolled` also needs a migration
that calls `add_rollup_columns`, for the histories that exist.  The sampler imports this module, so it needs the
standard library only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

MOST_POWER_W = 10_000.0  # several times what any GPU of gpus.toml draws
LARGEST_COUNTER = 2**63 - 1  # that SQLite can keep
# The largest value of each unit that can be: above it is no reading, but a fault of a driver, a disk or a memory.
LARGEST = {
    "%": 100,
    "share": 1,
    "C": 200,
    "MHz": 10_000,
    "mW": 1000 * MOST_POWER_W,
    "mJ": 1000 * MOST_POWER_W * 10**9,  # in 30 years
}


@dataclass(frozen=True)
class Call:
    """A function of pynvml per metric; `arguments` are names of pynvml's constants, `attribute` is of its answer."""

    function: str
    arguments: tuple[str, ...] = ()
    attribute: str = ""


@dataclass(frozen=True)
class Field:
    """A field of `nvmlDeviceGetFieldValues`; all fields of a GPU come with one call."""

    name: str
    scope: int = 0


@dataclass(frozen=True)
class Gpm:
    """A metric of NVML's GPU performance monitor: per cent of the time since it was asked before."""

    name: str


@dataclass(frozen=True)
class Rolled:
    """A column of a rollup: `measure` of the values of one metric in a stretch of time.

    `measure` is one of mean, min, max and p50, or None where `rollup` has a rule of its own for the column.
    The history keeps value x `parts` as a whole number.
    """

    column: str
    measure: str | None
    parts: int = 1


@dataclass(frozen=True)
class Gauge:
    """A bar in a run's report: the share of `full` that a metric reached, folded over the run's GPUs.

    `full` is a number, or the name of the GPU's own limit in `GpuReport`.  `per_run` says whether the mean itself is
    a value of the run in `report --json`.
    """

    full: float | Literal["memory_bytes", "power_limit_w"]
    remark: str
    fold: Literal["mean", "max"] = "mean"
    per_run: bool = False


@dataclass(frozen=True)
class Display:
    """How a run's report displays a metric: one value per GPU, and perhaps a gauge over all.

    `column` names the value in the history and in `report --json`.  The report's table shows value x `scale` in
    `unit`, under `title`; its columns follow the order of the metrics in `GpuReading`.
    """

    column: str
    title: str
    unit: str
    scale: float = 1.0
    gauge: Gauge | None = None


@dataclass(frozen=True)
class Metric:
    """One metric of a GPU.

    `code` is the struct code of value x `parts` in a spool.  `display` is None for a metric that the report leaves out.
    `most` is the largest value that can be, where its unit does not say it: a larger one is no reading.
    """

    unit: str
    source: Call | Field | Gpm
    code: str
    parts: int = 1
    rolled: tuple[Rolled, ...] = ()
    display: Display | None = None
    most: float | None = None

    @property
    def largest(self) -> float:
        """Return the largest value that can be."""
        return LARGEST.get(self.unit, LARGEST_COUNTER) if self.most is None else self.most


def weighted_mean(values: Iterable[tuple[float | None, float]]) -> float | None:
    """Return sum(value x weight) / sum(weight) over (value, weight); unknown values (None) are left out.

    The weights are numbers of readings, or seconds.  None if no value is known, or if all weights are 0.

    >>> weighted_mean([(90.0, 3), (50.0, 1), (None, 5)])
    80.0
    """
    pairs = [(value, weight) for value, weight in values if value is not None]
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total else None
