"""The curve in trainer_state.json of Hugging Face Trainer, with all its metrics."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...estimator.stopping.curve import Curve
from ..logs.formats.files.trainer_state import checkpoint_times, read_state
from .assemble import Columns, Row, assemble_curve
from .metrics import is_evaluation, is_more_better
from .training_log import TrainingLog, step_time_of


def read_trainer_state_log(path: Path, columns: Columns) -> TrainingLog:
    """Return what a trainer state tells.  Raises InputError if it is torn or something else, and OSError."""
    state = read_state(path)
    rows = [
        (step, _numbers(entry))
        for entry in state["log_history"]
        if isinstance(entry, dict) and isinstance(step := entry.get("step"), int)
    ]
    total = state.get("max_steps") if isinstance(state.get("max_steps"), int) else None
    origin = f"Hugging Face Trainer, {path.name}"
    if not rows:  # nothing was logged yet
        return TrainingLog(Curve(total_steps=total), origin)
    stated = [values["train_steps_per_second"] for _, values in rows if values.get("train_steps_per_second")]
    return TrainingLog(
        curve=assemble_curve(rows, total if total and total > 0 else None, columns),
        origin=origin,
        step_time_s=1 / stated[-1] if stated else step_time_of(sorted(checkpoint_times(path))),
        trainers_choice=_find_choice(state, rows),
    )


def _numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an entry, some of which may be there as words."""
    numbers = {}
    for name, value in entry.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError):
            continue
    return numbers


def _find_choice(state: Mapping[str, Any], rows: Sequence[Row]) -> str | None:
    """The metric whose value is the best one of the trainer."""
    best = state.get("best_metric")
    if not isinstance(best, int | float):
        return None
    for _, values in rows:
        for name, value in values.items():
            if (
                is_evaluation(name)
                and is_more_better(name) is not None
                and math.isclose(value, best, rel_tol=1e-9)
            ):
                return name
    return None
