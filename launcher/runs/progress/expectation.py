"""What was estimated before a run, from its estimate.json, and the startups that it has had since."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from ....estimator.eta.pauses_to_come import ExpectedPauses
from ....estimator.eta.time_left import Expectation
from ....estimator.measurements.steady_state import startups_s, steady_state
from ....estimator.measurements.training_loop import LoopLine
from ....estimator.priors import STARTUP_S
from ....estimator.ranges import Range
from ...run_folder.records.estimate import Quantiles, read_estimate
from ...run_folder.task_records import TaskRecord, first_tasks

# The names of a pause: that of its part in the estimate, that of its interval there, and that in the loop's lines.
_PAUSES = (("evaluation", "evaluation", "evaluation"), ("checkpoints", "checkpoint", "checkpoint"))
_STARTUP_SPREAD = 0.3  # around those that were timed: storage is shared.  Our judgement.


def read_expectation(folder: Path, lines: Sequence[LoopLine], tasks: Sequence[TaskRecord]) -> Expectation:
    """Return what was estimated before the run, with the startup that it has had; priors where it was not estimated.

    Raises UnreadableFile.
    """
    estimate = read_estimate(folder)
    parts, intervals = estimate.wall_clock_parts_s or {}, estimate.interval_steps or {}
    pauses = {}
    for part, interval, kind in _PAUSES:
        every = intervals.get(interval)
        if seconds := _range(parts.get(part)):
            pauses[kind] = ExpectedPauses(seconds, every or None)
    return Expectation(
        step_s=_range(estimate.step_time_s),
        startup_s=_startup(lines, tasks) or _range(parts.get("startup")) or STARTUP_S.range,
        pauses=pauses,
        samples=(estimate.steps.samples or None) if estimate.steps else None,
    )


def _startup(lines: Sequence[LoopLine], tasks: Sequence[TaskRecord]) -> Range | None:
    steady = steady_state(lines)
    began_s = {str(task.attempt): task.began_s for task in first_tasks(tasks)}
    times_s = startups_s(lines, began_s, steady.step_time_s) if steady else []
    return Range.around(statistics.median(times_s), _STARTUP_SPREAD) if times_s else None


def _range(values: Quantiles | None) -> Range | None:
    if values is None or values.p10 is None or values.p50 is None or values.p90 is None:
        return None
    return Range(values.p10, values.p50, values.p90)
