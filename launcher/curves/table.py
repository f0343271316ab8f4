"""A table of a training: CSV, or one separated by tabs or semicolons, as CSVLogger, W&B and TensorBoard export it."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...cluster_profiles.units import join_names
from ...errors import InputError
from ...estimator.stopping.curve import Curve
from .assemble import Columns, Row, assemble_curve
from .metrics import SECONDS, STEP, TOTAL, find_column, plain_name
from .training_log import TrainingLog, step_time_of

_MOST_NAMES = 8
_KINDS = {"kind", "split", "phase", "mode", "subset"}
_OF_TRAINING = {"train", "training"}
_OF_VALIDATION = {"val", "valid", "validation", "eval", "evaluation", "dev", "test"}
_MILLISECONDS = "_ms"


def parse_table(text: str, path: Path, columns: Columns) -> TrainingLog:
    """Return what a table tells, whose columns are found by their names or as the user says.

    A column with words such as `train` and `val` parts the rows by what they are of.  Raises InputError if it has no
    steps or no loss, or several trainings.
    """
    rows = _read_rows(text, path)
    if not rows:  # nothing was logged yet
        return TrainingLog(Curve(), f"table {path.name}")
    names = list(rows[0])
    for name in columns.names.values():
        if name not in names:
            raise InputError(f"--columns: {path} has no column {name!r}: it has {join_names(names)}")
    kind = next((name for name in names if plain_name(name) in _KINDS), None)
    _check_is_one_training(rows, kind, path)
    step = columns.names.get(STEP) or find_column(names, STEP)
    if step is None:
        raise InputError(
            f"{path}: no column holds the step among {join_names(names[:_MOST_NAMES])}: say which it is, with "
            "--columns step=NAME"
        )
    numbers = list(_numbers(rows, step, kind))
    if not numbers:
        raise InputError(
            f"{path}: column {step} holds no whole number: say another one, with --columns step=NAME"
        )
    total, seconds = find_column(names, TOTAL), find_column(names, SECONDS)
    totals = [values[total] for _, values in numbers if total in values] if total else []
    clock = [(at, values[seconds]) for at, values in numbers if seconds in values] if seconds else []
    unit_s = 1e-3 if seconds and seconds.endswith(_MILLISECONDS) else 1.0
    times_s = step_time_of((at, value * unit_s) for at, value in clock)
    curve = assemble_curve(numbers, int(totals[-1]) if totals else None, columns)
    return TrainingLog(curve, f"table {path.name}", step_time_s=times_s)


def _read_rows(text: str, path: Path) -> list[dict[str, str]]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, restkey="", restval="")
    try:
        return [{name: str(value or "") for name, value in row.items() if name} for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: not a table: {error}") from None


def _numbers(rows: Sequence[Mapping[str, str]], step: str, kind: str | None) -> Iterator[Row]:
    """Yield the step and the numbers of each row; of a row of a validation, by names that say so."""
    for row in rows:
        at = _number(row[step])
        if at is None or at != at // 1:
            continue
        of = row[kind].strip().lower() if kind else ""
        before = "eval_" if of in _OF_VALIDATION else ""
        values = {
            f"{before}{name}": number for name, text in row.items() if (number := _number(text)) is not None
        }
        yield int(at), values


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check_is_one_training(rows: Sequence[Mapping[str, str]], kind: str | None, path: Path) -> None:
    """Raise InputError if a column of words parts the rows into several trainings."""
    for name in rows[0]:
        values = list(dict.fromkeys(row[name].strip() for row in rows))
        if name == kind:
            unknown = [value for value in values if value.lower() not in _OF_TRAINING | _OF_VALIDATION]
            if unknown:
                raise InputError(
                    f"{path}: column {name} holds {unknown[0]!r}, which is neither train nor val"
                )
        elif 1 < len(values) <= len(rows) / 2 and all(v and _number(v) is None for v in values):
            shown = join_names(values[:3]) + (", ..." if len(values) > 3 else "")  # noqa: PLR2004  enough to see
            raise InputError(
                f"{path}: holds {len(values)} trainings by its column {name} ({shown}): keep the rows of one"
            )
