"""The last word on a run: status.json, written once; only a run that was given up as lost may still be heard of."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .folder import STATUS_FILE, file_exists, write_json

LOST = "lost"


def read_final_status(folder: Path) -> dict[str, Any] | None:
    """How the run ended; None while it has not, or nobody has said so yet."""
    try:
        values = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("state") else None


def has_final_status(folder: Path) -> bool:
    """Whether somebody has said how the run ended, if only that it was given up."""
    return file_exists(folder / STATUS_FILE)


def withdraw_lost(folder: Path) -> None:
    """Take back that the run was lost: its job has begun."""
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
    """Say how the run ended, unless that has been said.  A folder that cannot be written stays as it is."""
    draft = folder / f".{STATUS_FILE}.{os.getpid()}"
    known = {"state": state, "exit_code": exit_code, "ended_s": ended_s or time.time()}
    with suppress(OSError):
        write_json(draft, known | {"reason": reason, "error": error})
        try:
            os.link(draft, folder / STATUS_FILE)
        except FileExistsError:
            if state != LOST and (read_final_status(folder) or {}).get("state") == LOST:
                draft.replace(folder / STATUS_FILE)
                return
        draft.unlink()
