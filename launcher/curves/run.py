"""The curve of a run, from the lines of its loop."""

from pathlib import Path

from ...estimator.measurements.training_loop import (
    LoopEvaluation,
    LoopPause,
    LoopStart,
    LoopSteps,
    steady_lines,
)
from ...estimator.stopping.curve import Curve, in_order
from ..run_folder.progress.loop_lines import read_progress
from ..run_folder.registry import read_run_facts
from .training_log import TrainingLog


def read_run(folder: Path) -> TrainingLog:
    """Return what a run's folder tells, from all its attempts.  Raises OSError."""
    lines, _ = read_progress(folder)
    facts = read_run_facts(folder)
    stated = next(
        (line.total for line in reversed(lines) if isinstance(line, LoopStart) and line.total), None
    )
    steps = [line for line in lines if isinstance(line, LoopSteps)]
    curve = Curve(
        losses=in_order((line.step, line.loss) for line in steps if line.loss is not None),
        validations=in_order((line.step, line.loss) for line in lines if isinstance(line, LoopEvaluation)),
        learning_rates=in_order(
            (line.step, line.learning_rate) for line in steps if line.learning_rate is not None
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
        gpus=(facts.get("shape") or {}).get("gpus"),
    )
