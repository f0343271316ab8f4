"""How a run ended: `status.json`, written once.  Only `lost`, which is a guess, may be replaced."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .folder import STATUS_FILE, file_exists, write_json

LOST = "lost"


def read_final_status(folder: Path) -> dict[str, Any] | None:
    """Return how the run ended; None before that is written."""
    try:
        values = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("state") else None


def has_final_status(folder: Path) -> bool:
    """Return whether the run has a final status, `lost` included."""
    return file_exists(folder / STATUS_FILE)


def withdraw_lost(folder: Path) -> None:
    """Remove the final status `lost`: the run's job has begun."""
    if (read_final_status(folder) or {}).get("state") == LOST:
        (folder / STATUS_FILE).unlink(missing_ok=True)


def write_final_status(
    folder: Path,
    state: str,
    exit_code: int | None,
    reason: str | None = None,
    error: str | None = None,
    ended_s: float | None = None,
) -> None:
    """Write how the run ended, if nobody has.  A folder that cannot be written stays as it is.

    `ended_s` is in Unix seconds, by default now.
    """
    draft = folder / f".{STATUS_FILE}.{os.getpid()}"
    values = {"state": state, "exit_code": exit_code, "ended_s": ended_s or time.time()}
    with suppress(OSError):
        write_json(draft, values | {"reason": reason, "error": error})
        try:
            os.link(draft, folder / STATUS_FILE)
        except FileExistsError:
            if state != LOST and (read_final_status(folder) or {}).get("state") == LOST:
                draft.replace(folder / STATUS_FILE)
                return
        draft.unlink()
