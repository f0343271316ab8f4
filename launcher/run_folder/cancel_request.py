"""The request that a run stops for good: `cancel.json` in its folder, which every machine sees."""

import json
import time
from pathlib import Path

from .folder import write_json

CANCEL_FILE = "cancel.json"


def write_cancel_request(folder: Path) -> None:
    """Write the request, with the time.  Raises OSError."""
    write_json(folder / CANCEL_FILE, {"time_s": time.time()})


def cancel_requested_s(folder: Path) -> float | None:
    """Return when the request was made, in Unix seconds; None without one."""
    try:
        return float(json.loads((folder / CANCEL_FILE).read_text(encoding="utf-8"))["time_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def withdraw_cancel_request(folder: Path) -> None:
    """Remove the request: Slurm refused to cancel the job."""
    (folder / CANCEL_FILE).unlink(missing_ok=True)
