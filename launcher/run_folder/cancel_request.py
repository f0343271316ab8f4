"""The request that a run stops for good: `cancel.json` in its folder, which every machine sees."""

import json
import time
from pathlib import Path
from typing import Any

from .folder import write_json

CANCEL_FILE = "cancel.json"


def write_cancel_request(folder: Path, reason: str = "") -> None:
    """Write the request, with the time and why it is made, if that is known.  Raises OSError."""
    write_json(folder / CANCEL_FILE, {"time_s": time.time()} | ({"reason": reason} if reason else {}))


def cancel_requested_s(folder: Path) -> float | None:
    """Return when the request was made, in Unix seconds; None without one."""
    try:
        return float(_read_request(folder)["time_s"])
    except (ValueError, KeyError, TypeError):
        return None


def cancel_reason(folder: Path) -> str:
    """Return why the request was made; empty if it does not say, or there is none."""
    return str(_read_request(folder).get("reason") or "")


def withdraw_cancel_request(folder: Path) -> None:
    """Remove the request: Slurm refused to cancel the job."""
    (folder / CANCEL_FILE).unlink(missing_ok=True)


def _read_request(folder: Path) -> dict[str, Any]:
    try:
        values = json.loads((folder / CANCEL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
