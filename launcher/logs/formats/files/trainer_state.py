"""The HF Trainer's trainer_state.json, and the times of the checkpoints that it lies in.

The file has no clock.  Each checkpoint's file was written when its step was done, so their times are one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .....cluster_profiles.files.bounded_file import read_bytes
from .....errors import InputError, UnreadableFile
from ..frameworks.files import TRAINER_STATE
from ..quantities import QUANTITIES
from ..record import LogRecord, RecordKind

STATE_FILE = "trainer_state.json"
_MOST_BYTES = 64 << 20  # of JSON, which takes a few times as much as Python's values
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def read_trainer_state(path: Path) -> list[LogRecord]:
    """Return the records of a state file, and with the checkpoints beside it the times at which their steps were done.

    Raises InputError for a file that is torn or no state, and OSError.
    """
    total = None
    state = read_state(path)
    if isinstance(state.get("max_steps"), int) and state["max_steps"] > 0:
        total = state["max_steps"]
    records = list(_records(state, total))
    times = dict(checkpoint_times(path))
    if not times:
        return records
    ends = [
        LogRecord(RecordKind.STEP, TRAINER_STATE.name, step=step, time_s=time_s, total_steps=total)
        for step, time_s in sorted(times.items())
    ]
    # The checkpoint of a step comes after its log and its evaluation.
    return sorted([*records, *ends], key=lambda record: (record.step or 0, record.time_s is not None))


def read_state(path: Path) -> Mapping[str, Any]:
    """Return a state, which has a list `log_history`.  Raises InputError for another or a torn file, and OSError."""
    try:
        state = json.loads(read_bytes(path, _MOST_BYTES))
    except UnreadableFile as error:
        raise InputError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is torn, or no JSON ({error}): the Trainer writes it in place; take that of an earlier checkpoint"
        ) from None
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise InputError(f"{path}: has no log_history: it is no {STATE_FILE} of the Trainer")
    return state


def _records(state: Mapping[str, Any], total: int | None) -> Iterator[LogRecord]:
    for entry in state["log_history"]:
        if not isinstance(entry, dict):
            continue
        fields: dict[str, Any] = {}
        for key, quantity in TRAINER_STATE.values.items():
            if isinstance(entry.get(key), int | float):
                fields |= QUANTITIES[quantity](str(entry[key]))
        if "step" in fields and ("loss" in fields or "evaluation_loss" in fields):
            kind = RecordKind.STEP if "loss" in fields else RecordKind.EVALUATION
            yield LogRecord(kind, TRAINER_STATE.name, total_steps=total, **fields)


def checkpoint_times(path: Path) -> Iterator[tuple[int, float]]:
    """Yield the step of each checkpoint beside that of the state at `path`, and the Unix time at which it was written."""
    for file in path.absolute().parent.parent.glob(f"checkpoint-*/{STATE_FILE}"):
        name = _CHECKPOINT.fullmatch(file.parent.name)
        if name and _CHECKPOINT.fullmatch(path.absolute().parent.name):
            yield int(name[1]), file.stat().st_mtime
