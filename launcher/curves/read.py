"""What a path is: a trainer state, a folder with one, a table, or a log."""

import re
from pathlib import Path

from ...cluster_profiles.files.bounded_file import open_regular
from ...errors import InputError, UnreadableFile
from ..logs.formats.files.trainer_state import STATE_FILE
from .assemble import Columns
from .table import parse_table
from .text_log import read_text_log
from .trainer_state import read_trainer_state_log
from .training_log import TrainingLog

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_EVENTS = "events.out.tfevents.*"
_TABLES = (".csv", ".tsv")
_BEGINNING_BYTES = 1 << 12
_MOST_MIB = 256  # of a table or a state, which are read whole


def read_training_log(path: Path, columns: Columns, total_steps: int | None = None) -> TrainingLog:
    """Return what a file, or a folder of Hugging Face Trainer or TensorBoard, tells of a training.

    Raises InputError if it cannot be read or told.
    """
    try:
        return _read(path, columns, total_steps)
    except UnreadableFile as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _read(path: Path, columns: Columns, total_steps: int | None) -> TrainingLog:
    if path.is_dir():
        if any(path.glob(_EVENTS)):
            return read_text_log(path, columns, total_steps)
        path = _find_state(path)
    if path.stat().st_size > _MOST_MIB << 20 and path.suffix in (*_TABLES, ".json"):
        raise InputError(f"{path}: larger than {_MOST_MIB} MiB, which is no table of losses")
    with open_regular(path) as file:
        beginning = file.read(_BEGINNING_BYTES)
    if not beginning.strip():
        raise InputError(f"{path}: the file is empty: nothing was logged yet")
    if path.suffix in _TABLES:
        if b"\0" in beginning:
            raise InputError(f"{path}: not a table: it is not text")
        return parse_table(path.read_text(encoding="utf-8-sig", errors="replace"), path, columns)
    if path.name == STATE_FILE or (path.suffix == ".json" and b'"log_history"' in path.read_bytes()):
        return read_trainer_state_log(path, columns)
    return read_text_log(path, columns, total_steps)


def _find_state(folder: Path) -> Path:
    """The state in an output folder of Trainer, or that of its latest checkpoint."""
    if (folder / STATE_FILE).is_file():
        return folder / STATE_FILE
    steps = {int(m[1]): sub for sub in folder.iterdir() if (m := _CHECKPOINT.fullmatch(sub.name))}
    for step in sorted(steps, reverse=True):
        if (steps[step] / STATE_FILE).is_file():
            return steps[step] / STATE_FILE
    raise InputError(
        f"{folder}: neither the folder of a run nor one with {STATE_FILE} or {_EVENTS}; give a run, {STATE_FILE}, a CSV "
        "or a log"
    )
