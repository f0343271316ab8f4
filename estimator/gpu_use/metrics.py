"""The registry of GPU metrics: of each its unit, how NVML is asked for it, how it is kept and rolled up.

`GpuReading` names the metrics, one line each.  Everything that goes over all of them takes them from here: the
sampler's calls, the spool, the blocks and rollups of the history, and what is exported.  So a new metric is one line
in `GpuReading`, and what is special about it.  The sampler imports this: the standard library is all it may need.
"""

from dataclasses import dataclass


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
class Metric:
    """One metric of a GPU.

    `code` is the struct code of value x `parts` in a spool.
    """

    unit: str
    source: Call | Field | Gpm
    code: str
    parts: int = 1
    rolled: tuple[Rolled, ...] = ()
