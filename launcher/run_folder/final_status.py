"""How a run ended: `status.json`, written once.

It names the last job that it is the end of, so a later job of the run, by `clusterplan resume`, makes it void.  Only a
void one, `lost`, which is a guess, and the end of a killed command, which Slurm may explain later, may be replaced.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..clock import disk_now_s
from ..logs.errors import ErrorKind
from ..logs.failure import Failure
from .folder import STATUS_FILE, file_exists, write_json
from .job_log import read_jobs
from .locks.checkpoint_folder import unlock_checkpoint_folder

LOST, FAILED, OUT_OF_MEMORY = "lost", "failed", "out_of_memory"
_SIGKILL_CODE = 128 + 9


def read_final_status(folder: Path) -> dict[str, Any] | None:
    """Return how the run ended; None before that is written, and once a later job was submitted."""
    values = _read_values(folder)
    return None if values is None or _is_void(values, folder) else values


def has_final_status(folder: Path) -> bool:
    """Return whether the run has a final status, `lost` included; a void one counts until the later job begins."""
    return file_exists(folder / STATUS_FILE)


def was_killed(final: Mapping[str, Any]) -> bool:
    """Return whether a run failed because its command was killed with SIGKILL: it could not say why."""
    return final["state"] == FAILED and final.get("exit_code") == _SIGKILL_CODE


def _says_more(state: str, before: Mapping[str, Any]) -> bool:
    return (state != LOST and before["state"] == LOST) or (state == OUT_OF_MEMORY and was_killed(before))


def withdraw_final_status(folder: Path, job: str) -> None:
    """Remove a final status that does not hold any more as `job` begins: it is `lost`, or the end of another job."""
    values = _read_values(folder) or {}
    if values.get("state") == LOST or values.get("job") not in (None, job):
        (folder / STATUS_FILE).unlink(missing_ok=True)


def _read_values(folder: Path) -> dict[str, Any] | None:
    try:
        values = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.get("state") else None


def _is_void(values: Mapping[str, Any], folder: Path) -> bool:
    return values.get("job") is not None and values["job"] != _last_job(folder)


def _last_job(folder: Path) -> str | None:
    jobs = read_jobs(folder)
    return jobs[-1].job if jobs else None


def write_final_status(
    folder: Path,
    state: str,
    exit_code: int | None,
    reason: str | None = None,
    failure: Failure | None = None,
    ended_s: float | None = None,
    job: str | None = None,
) -> None:
    """Write how the run ended, if nobody has.  A folder that cannot be written stays as it is.

    `failure` is the one that ended the run.  `ended_s` is in Unix seconds, by default now by the disk's clock.  `job` is the job that this is
    the end of, by default the last.
    """
    unlock_checkpoint_folder(folder)
    draft = folder / f".{STATUS_FILE}.{os.getpid()}"
    values = {"state": state, "exit_code": exit_code, "ended_s": ended_s or disk_now_s(folder)}
    values["job"] = job or _last_job(folder)
    with suppress(OSError):
        write_json(draft, values | {"reason": reason, **_failure_values(failure)})
        try:
            os.link(draft, folder / STATUS_FILE)
        except FileExistsError:
            before = read_final_status(folder)
            if before is None or _says_more(state, before):
                draft.replace(folder / STATUS_FILE)
                return
        draft.unlink()


def read_failure(status: Mapping[str, Any]) -> Failure | None:
    """Return the failure that ended a run, from the values of its final status; None if none did."""
    try:
        kind = status.get("error_kind")
        return Failure(
            rank=status["rank"],
            log=status["log"],
            node=status["node"],
            exit_code=status["exit_code"],
            error=status["error"],
            kind=ErrorKind(kind) if kind else None,
            time_s=status["ended_s"],
        )
    except (KeyError, ValueError):
        return None


def _failure_values(failure: Failure | None) -> dict[str, Any]:
    if failure is None:
        return {"error": None}
    return {
        "error": failure.error,
        "error_kind": failure.kind,
        "rank": failure.rank,
        "log": failure.log,
        "node": failure.node,
    }
