"""What a path is: a trainer state, a folder with one, a table, or a log."""

import re
from pathlib import Path

from ...errors import InputError
from .assemble import Columns
from .table import parse_table
from .text_log import read_log
from .trainer_state import parse_trainer_state
from .training_log import TrainingLog

TRAINER_STATE = "trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_TABLES = (".csv", ".tsv")
_BEGINNING_BYTES = 1 << 12
_MOST_BYTES = 1 << 28  # of a table or a state, which are read whole


def read_training_log(path: Path, columns: Columns, total_steps: int | None = None) -> TrainingLog:
    """Return what a file, or a folder of Hugging Face Trainer, tells of a training.

    Raises InputError if it cannot be read or told.
    """
    if path.is_dir():
        path = _find_state(path)
    try:
        if path.stat().st_size > _MOST_BYTES and path.suffix in (*_TABLES, ".json"):
            raise InputError(f"{path}: larger than {_MOST_BYTES >> 20} MiB, which is no table of losses")
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING_BYTES)
        if not beginning.strip():
            raise InputError(f"{path}: the file is empty: nothing was logged yet")
        if path.suffix in _TABLES:
            return parse_table(_read_text(path), path, columns)
        if path.suffix == ".json" and beginning.lstrip().startswith(b"{") and _is_state(path):
            return parse_trainer_state(_read_text(path), path, columns)
        return read_log(path, columns, total_steps)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _is_state(path: Path) -> bool:
    """Whether a JSON file is a trainer state: by its name, or by the list that it must have."""
    return (
        path.name == TRAINER_STATE
        or path.name.endswith(f".{TRAINER_STATE}")
        or '"log_history"' in _read_text(path)
    )


def _find_state(folder: Path) -> Path:
    """The state in an output folder of Trainer, or that of its latest checkpoint."""
    if (folder / TRAINER_STATE).is_file():
        return folder / TRAINER_STATE
    steps = {int(m[1]): sub for sub in folder.iterdir() if (m := _CHECKPOINT.fullmatch(sub.name))}
    for step in sorted(steps, reverse=True):
        if (steps[step] / TRAINER_STATE).is_file():
            return steps[step] / TRAINER_STATE
    raise InputError(
        f"{folder}: neither the folder of a run nor one with {TRAINER_STATE}; give a run, {TRAINER_STATE}, a CSV or a log"
    )
