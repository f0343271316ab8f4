"""The file in the run folder that `track` appends to, and numbers as its lines hold them."""

import math
import os
from typing import SupportsFloat

from ...cluster_profiles.modes import open_file

PROGRESS_FILE = "progress.jsonl"
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")


def open_progress_file() -> int | None:
    """Return the file to append to; None outside a job, on other ranks, and if the file cannot be opened."""
    folder, environment = os.environ.get("CLUSTERPLAN_RUN_FOLDER"), os.environ
    rank = next((environment[name] for name in _RANKS if name in environment), "0")
    # Processes that Lightning starts share the rank of their task, and differ in the local rank.
    if not folder or rank != "0" or environment.get("LOCAL_RANK", "0") != "0":
        return None
    try:
        return open_file(f"{folder}/{PROGRESS_FILE}", os.O_APPEND)
    except OSError:
        return None


def read_number(value: SupportsFloat | None) -> float | str | None:
    """Return a number as JSON can hold it: `nan` and `inf` are not JSON numbers, so they become strings."""
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError, RuntimeError):  # not a number, or a tensor of several
        return None
    return number if number is None or math.isfinite(number) else str(number)
