"""The curve of a run, from the lines of its loop and of its log."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from ...estimator.measurements.training_loop import (
    LoopEvaluation,
    LoopLine,
    LoopPause,
    LoopStart,
    LoopSteps,
    steady_lines,
)
from ...estimator.stopping.curve import Curve, Point, in_order
from ..run_folder.progress.best_source import SourcedLine, lines_of_best_sources
from ..run_folder.progress.loop_lines import read_sourced_lines
from ..run_folder.records.run_facts import read_run_facts
from .training_log import TrainingLog


def read_run(folder: Path) -> TrainingLog:
    """Return what a run's folder tells, from all its attempts.  Raises OSError."""
    sourced, _ = read_sourced_lines(folder)
    facts = read_run_facts(folder)
    lines = lines_of_best_sources(sourced)
    stated = next(
        (line.total for line in reversed(lines) if isinstance(line, LoopStart) and line.total), None
    )
    curve = Curve(
        losses=_series(sourced, lambda line: line.loss if isinstance(line, LoopSteps) else None),
        validations=_series(sourced, lambda line: line.loss if isinstance(line, LoopEvaluation) else None),
        learning_rates=_series(
            sourced, lambda line: line.learning_rate if isinstance(line, LoopSteps) else None
        ),
        total_steps=stated or facts.get("steps"),
    )
    steady = steady_lines(lines)
    trained_s = sum(line.seconds for line in steady)
    paused_s = sum(line.seconds for line in lines if isinstance(line, LoopPause))
    return TrainingLog(
        curve=curve,
        origin=f"run {folder.name}",
        step_time_s=(trained_s + paused_s) / sum(line.steps for line in steady) if steady else None,
        steps=curve.step - next((line.step for line in lines if isinstance(line, LoopStart)), 0),
        gpus=(facts.get("shape") or {}).get("gpus"),
        speeds=in_order((line.step, line.steps / line.seconds) for line in steady if line.seconds > 0),
    )


def _series(
    sourced: Sequence[SourcedLine], value_of: Callable[[LoopLine], float | None]
) -> tuple[Point, ...]:
    """The points of the source that has most of them: `track` may tell the steps, and the log their losses."""
    by_source = defaultdict[str, list[tuple[int, float]]](list)
    for source, line in sourced:
        value = value_of(line)
        if value is not None:
            by_source[source].append((line.step, value))
    longest = max(by_source, key=lambda source: len(by_source[source]), default="")
    return in_order(by_source[longest])
