"""What was estimated before a run: `estimate.json`, an answer of `clusterplan estimate --json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..folder import ESTIMATE_FILE
from .files import read_record
from .values import Count, Seconds


@dataclass(frozen=True)
class Quantiles:
    """A quantity in seconds; None is not known."""

    p10: Seconds | None = None
    p50: Seconds | None = None
    p90: Seconds | None = None
    p95: Seconds | None = None


@dataclass(frozen=True)
class EstimateSource:
    """What an estimate rests on: its kind, the number of runs, and words for it."""

    kind: str | None = None
    text: str = ""
    runs: Count | None = None
    calibrated: bool | None = None


@dataclass(frozen=True)
class EstimatedSteps:
    """The samples of one step."""

    samples: Count | None = None


@dataclass(frozen=True)
class EstimatedRequest:
    """The walltime that the estimate asks for, in Slurm's spelling."""

    time: str | None = None


@dataclass(frozen=True)
class EstimateFile:
    """The parts of an estimate that are used after the run has begun; None was not estimated."""

    source: EstimateSource | None = None
    step_time_s: Quantiles | None = None
    wall_clock_s: Quantiles | None = None
    wall_clock_parts_s: Mapping[str, Quantiles | None] | None = None
    interval_steps: Mapping[str, Count | None] | None = None
    steps: EstimatedSteps | None = None
    request: EstimatedRequest | None = None


def read_estimate(folder: Path) -> EstimateFile:
    """Return the estimate of a run; an empty one where nothing was estimated.  Raises UnreadableFile."""
    return read_record(EstimateFile, folder / ESTIMATE_FILE) or EstimateFile()
