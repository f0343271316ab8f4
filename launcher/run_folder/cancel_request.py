"""That a run shall stop for good, whoever asks and wherever it runs: `cancel.json` in its folder."""

import json
import time
from pathlib import Path

from .folder import write_json

CANCEL_FILE = "cancel.json"


def write_cancel_request(folder: Path) -> None:
    """Raises OSError."""
    write_json(folder / CANCEL_FILE, {"time_s": time.time()})


def cancel_requested_s(folder: Path) -> float | None:
    """When it was asked for, in Unix seconds; None if it was not."""
    try:
        return float(json.loads((folder / CANCEL_FILE).read_text(encoding="utf-8"))["time_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def withdraw_cancel_request(folder: Path) -> None:
    """It was not asked for after all."""
    (folder / CANCEL_FILE).unlink(missing_ok=True)
