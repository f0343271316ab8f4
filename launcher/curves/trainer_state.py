"""trainer_state.json of Hugging Face Trainer (transformers, trainer_callback.py, TrainerState)."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from .assemble import Columns, Row, assemble_curve
from .metrics import is_evaluation, is_more_better
from .training_log import TrainingLog


def parse_trainer_state(text: str, path: Path, columns: Columns) -> TrainingLog:
    """Return what a trainer state tells.  Raises InputError if it is torn or something else."""
    try:
        state = json.loads(text)
        history = state["log_history"]
        rows = [(int(entry["step"]), _numbers(entry)) for entry in history if "step" in entry]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a whole trainer_state.json: it has no log_history that can be read ({error}); "
            "it may be torn: take that of the checkpoint before"
        ) from None
    if not rows:
        raise InputError(f"{path}: its log_history is empty: nothing was logged yet")
    total = state.get("max_steps")
    curve = assemble_curve(rows, int(total) if isinstance(total, int) and total > 0 else None, columns)
    rates = [values["train_steps_per_second"] for _, values in rows if values.get("train_steps_per_second")]
    return TrainingLog(
        curve=curve,
        origin=f"Hugging Face Trainer, {path.name}",
        step_time_s=1 / rates[-1] if rates else None,
        trainers_choice=_find_choice(state, rows),
    )


def _numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an entry; `nan` may be there as a word, as Trainer 5 writes numbers."""
    numbers = {}
    for name, value in entry.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError):
            continue
    return numbers


def _find_choice(state: Mapping[str, Any], rows: Sequence[Row]) -> str | None:
    """The metric whose value is the best one of the trainer, at the step of its best checkpoint."""
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
