"""The request that a run stops for good: `cancel.json` in its folder, which every machine sees."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...errors import UnreadableFile
from .folder import write_json
from .records.files import read_record
from .records.values import Seconds

CANCEL_FILE = "cancel.json"


@dataclass(frozen=True)
class CancelRequest:
    """When the request was made, in Unix seconds, and why, if that is known."""

    time_s: Seconds
    reason: str = ""


def write_cancel_request(folder: Path, reason: str = "") -> None:
    """Write the request, with the time and why it is made, if that is known.  Raises OSError."""
    write_json(folder / CANCEL_FILE, {"time_s": time.time()} | ({"reason": reason} if reason else {}))


def read_cancel_request(folder: Path) -> CancelRequest | None:
    """Return the request; None without one.  Raises UnreadableFile."""
    return read_record(CancelRequest, folder / CANCEL_FILE)


def cancel_requested_s(folder: Path) -> float | None:
    """Return when the request was made, in Unix seconds; None without one that can be read."""
    with suppress(UnreadableFile):
        return request.time_s if (request := read_cancel_request(folder)) else None
    return None


def withdraw_cancel_request(folder: Path) -> None:
    """Remove the request: Slurm refused to cancel the job."""
    (folder / CANCEL_FILE).unlink(missing_ok=True)
