"""A run that has ended, beside the estimate that it was submitted with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..gpu_use.forecast import Forecast, compare_forecasts

COMPLETED = "completed"
_TIMED_OUT = "timed_out"
_WHOLE_SHARE = 0.9  # of the steps that were estimated; a run that stops before at a plateau is no whole one


@dataclass(frozen=True)
class Walltime:
    """The walltime of a run: asked for and used in seconds, over all its jobs; `enough` if no job too many met its limit.

    `as_estimated` says that it was the estimate's, and not that of a person or of a limit.  `used_s` is None for a run
    that did not end by itself.
    """

    asked_s: float
    used_s: float | None
    enough: bool
    as_estimated: bool


@dataclass(frozen=True)
class ScoredRun:
    """One ended run and its estimate: `kind` is that of the source of its step time.

    `step_time` and `wall_clock` are None where nothing was estimated, or nothing was measured.
    """

    run: str
    model: str | None
    ended_s: float
    kind: str
    step_time: Forecast | None
    wall_clock: Forecast | None
    walltime: Walltime | None


def score_run(row: Mapping[str, Any]) -> ScoredRun:
    """Return a run's estimate beside what it took, from the columns of its rows in `run`, `estimate` and `measurement`.

    Only a run that ran to its end counts for the wall-clock; any that reached steady steps counts for the step time.
    """
    forecasts = {
        forecast.what: forecast
        for forecast in compare_forecasts(row, row["step_time_s"], whole_training_s(row))
        if forecast.actual is not None and forecast.estimated.p50
    }
    return ScoredRun(
        run=row["run"],
        model=row["model"],
        ended_s=row["ended_s"],
        kind=row["source_kind"] or "unknown",
        step_time=forecasts.get("step time"),
        wall_clock=forecasts.get("wall-clock"),
        walltime=_walltime(row),
    )


def whole_training_s(row: Mapping[str, Any]) -> float | None:
    """Return the seconds of all attempts of a run that ran to its end, from its row in `run`; otherwise None."""
    planned, done = row["steps_planned"], row["steps_done"]
    is_cut_short = planned is not None and done is not None and done < _WHOLE_SHARE * planned
    return None if row["state"] != COMPLETED or is_cut_short else row["trained_s"]


def _walltime(row: Mapping[str, Any]) -> Walltime | None:
    """The walltime of a run that used all it needed, or had too little; None for one that failed or was cancelled."""
    asked_s, segments = row["walltime_asked_s"], row["segments"] or 1
    if asked_s is None or row["state"] not in (COMPLETED, _TIMED_OUT):
        return None
    enough = row["state"] == COMPLETED and (row["limits_met"] or 0) < segments
    as_estimated = asked_s == row["walltime_s"]
    return Walltime(asked_s * segments, whole_training_s(row), enough, as_estimated)
