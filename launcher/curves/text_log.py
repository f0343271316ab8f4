"""The curve in the log of a training, by the formats that clusterplan reads."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import InputError
from ...estimator.stopping.trend import median
from ..logs.formats.files.read_log import read_log
from ..logs.formats.job_length import JobLength
from ..logs.formats.record import LogRecord, RecordKind
from .assemble import Columns, Row, assemble_curve
from .metrics import EVAL_LOSS, LEARNING_RATE, LOSS
from .training_log import TrainingLog, step_time_of


def read_text_log(path: Path, columns: Columns, total_steps: int | None = None) -> TrainingLog:
    """Return what a log tells, or a folder with events of TensorBoard.

    Raises InputError if it cannot be read, or if nothing in it has a step and a loss.
    """
    records = list(read_log(path, length=JobLength(total_steps=total_steps)))
    rows = list(_rows(records))
    if not rows:
        raise InputError(
            f"{path}: no line of a framework that clusterplan reads has a step with its loss; give a CSV with the "
            "columns step and loss, or trainer_state.json"
        )
    totals = [record.total_steps for record in records if record.total_steps]
    clock = [
        (record.step, time_s)
        for record in records
        if record.step is not None
        if (time_s := record.elapsed_s if record.time_s is None else record.time_s) is not None
    ]
    stated_s = [record.step_time_s for record in records if record.step_time_s]
    return TrainingLog(
        curve=assemble_curve(rows, totals[-1] if totals else None, columns),
        origin=f"log of {records[0].format}, {path.name}",
        step_time_s=step_time_of(clock) or (median(stated_s) if stated_s else None),
    )


def _rows(records: Iterable[LogRecord]) -> Iterator[Row]:
    """Yield steps with their numbers.  A line without a step is of the last one, as a bar beside it counts."""
    step = None
    for record in records:
        step = step if record.step is None else record.step
        values = {
            name: value
            for name, value in (
                (LOSS, record.loss if record.kind is RecordKind.STEP else None),
                (LEARNING_RATE, record.learning_rate),
                (EVAL_LOSS, record.evaluation_loss),
            )
            if value is not None
        }
        if step is not None and values:
            yield step, values
