"""What was estimated before a run, from its estimate.json, and the startups that it has had since."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....estimator.eta.pauses_to_come import ExpectedPauses
from ....estimator.eta.time_left import Expectation
from ....estimator.measurements.steady_state import startups_s, steady_state
from ....estimator.measurements.training_loop import LoopLine
from ....estimator.priors import STARTUP_S
from ....estimator.ranges import Range
from ...run_folder.folder import ESTIMATE_FILE
from ...run_folder.task_records import TaskRecord, first_tasks

# The names of a pause: that of its part in the estimate, that of its interval there, and that in the loop's lines.
_PAUSES = (("evaluation", "evaluation", "evaluation"), ("checkpoints", "checkpoint", "checkpoint"))
_STARTUP_SPREAD = 0.3  # around those that were timed: storage is shared.  Our judgement.


def read_expectation(folder: Path, lines: Sequence[LoopLine], tasks: Sequence[TaskRecord]) -> Expectation:
    """Return what was estimated before the run, with the startup that it has had; priors where it was not estimated."""
    estimate = _read_estimate(folder)
    parts, intervals = _mapping(estimate.get("wall_clock_parts_s")), _mapping(estimate.get("interval_steps"))
    pauses = {}
    for part, interval, kind in _PAUSES:
        every = intervals.get(interval)
        if seconds := _range(parts.get(part)):
            pauses[kind] = ExpectedPauses(seconds, every if type(every) is int and every > 0 else None)
    return Expectation(
        step_s=_range(estimate.get("step_time_s")),
        startup_s=_startup(lines, tasks) or _range(parts.get("startup")) or STARTUP_S.range,
        pauses=pauses,
        samples=_count(_mapping(estimate.get("steps")).get("samples")),
    )


def _startup(lines: Sequence[LoopLine], tasks: Sequence[TaskRecord]) -> Range | None:
    steady = steady_state(lines)
    began_s = {str(task.attempt): task.began_s for task in first_tasks(tasks)}
    times_s = startups_s(lines, began_s, steady.step_time_s) if steady else []
    return Range.around(statistics.median(times_s), _STARTUP_SPREAD) if times_s else None


def _read_estimate(folder: Path) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads((folder / ESTIMATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _mapping(values: object) -> Mapping[str, Any]:
    return values if isinstance(values, dict) else {}


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _range(values: object) -> Range | None:
    try:
        numbers = _mapping(values)
        return Range(float(numbers["p10"]), float(numbers["p50"]), float(numbers["p90"]))
    except (KeyError, TypeError, ValueError):
        return None
