"""Lightning's metrics.csv: pure.  Its columns are all metrics in the order of the alphabet, with empty cells."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from ..frameworks.files import LIGHTNING_CSV
from ..quantities import QUANTITIES
from ..record import LogRecord, RecordKind


def is_metrics_csv(header: str) -> bool:
    """Return whether this is the first line of a file of Lightning's CSVLogger.

    >>> is_metrics_csv("epoch,step,train_loss"), is_metrics_csv("model,gpus,batch_size")
    (True, False)
    """
    return {"epoch", "step"} <= set(header.strip().split(","))


def read_metrics_csv(lines: Iterable[str]) -> Iterator[LogRecord]:
    """Yield the records of the rows; a row that is torn is left out."""
    for row in csv.DictReader(lines):
        fields: dict[str, Any] = {}
        for key, quantity in LIGHTNING_CSV.values.items():
            for name, value in QUANTITIES[quantity](row.get(key) or "").items():
                fields.setdefault(name, value)
        if "step" in fields and ("loss" in fields or "evaluation_loss" in fields):
            fields["step"] += 1 - LIGHTNING_CSV.first_step
            kind = RecordKind.STEP if "loss" in fields else RecordKind.EVALUATION
            yield LogRecord(kind, LIGHTNING_CSV.name, **fields)
