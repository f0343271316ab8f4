"""How a run ended: `status.json`, written once.

It names the last job that it is the end of, so a later job of the run, by `clusterplan resume`, makes it void.  Only a
void one, `lost`, which is a guess, and the end of a killed command, which Slurm may explain later, may be replaced.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UnreadableFile
from ..clock import disk_now_s
from ..logs.errors import ErrorKind
from ..logs.failure import Failure
from .folder import STATUS_FILE, file_exists, write_json
from .job_log import read_jobs
from .locks.checkpoint_folder import unlock_checkpoint_folder
from .records.files import read_record
from .records.values import Count, ExitCode, Seconds

LOST, FAILED, OUT_OF_MEMORY = "lost", "failed", "out_of_memory"
_SIGKILL_CODE = 128 + 9


@dataclass(frozen=True)
class FinalStatus:
    """How a run ended: the values of status.json, as docs/reference/run-folder.md describes them; None is not known.

    `state` is a word, which a newer version may have coined.
    """

    state: str
    exit_code: ExitCode | None = None
    ended_s: Seconds | None = None
    job: str | None = None
    reason: str | None = None
    error: str | None = None
    error_kind: str | None = None
    rank: Count | None = None
    log: Count | None = None
    node: str | None = None

    @property
    def failure(self) -> Failure | None:
        """Return the failure that ended the run; None if none did."""
        if self.log is None or self.node is None or self.ended_s is None:
            return None
        return Failure(
            rank=self.rank,
            log=self.log,
            node=self.node,
            exit_code=self.exit_code or 0,
            error=self.error,
            kind=ErrorKind.of(self.error_kind),
            time_s=self.ended_s,
        )

    @property
    def was_killed(self) -> bool:
        """Return whether the run failed because its command was killed with SIGKILL: it could not say why."""
        return self.state == FAILED and self.exit_code == _SIGKILL_CODE

    def is_explained_by(self, state: str) -> bool:
        """Return whether a later `state` says more."""
        return (state != LOST and self.state == LOST) or (state == OUT_OF_MEMORY and self.was_killed)


def read_final_status(folder: Path) -> FinalStatus | None:
    """Return how the run ended; None before that is written, and once a later job was submitted.

    Raises UnreadableFile.
    """
    final = read_record(FinalStatus, folder / STATUS_FILE)
    if final is None or (final.job is not None and _last_job(folder) not in (final.job, None)):
        return None
    return final


def has_final_status(folder: Path) -> bool:
    """Return whether the run has a final status, `lost` included; a void one counts until the later job begins."""
    return file_exists(folder / STATUS_FILE)


def withdraw_final_status(folder: Path, job: str) -> None:
    """Remove a final status that does not hold any more as `job` begins: it is `lost`, or the end of another job."""
    try:
        final = read_record(FinalStatus, folder / STATUS_FILE)
    except UnreadableFile:  # whatever it says, the run goes on
        final = FinalStatus(LOST)
    if final and (final.state == LOST or final.job not in (None, job)):
        (folder / STATUS_FILE).unlink(missing_ok=True)


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

    A status that cannot be read is replaced: it says nothing.  `failure` is the one that ended the run.  `ended_s` is in
    Unix seconds, by default now by the disk's clock.  `job` is the job that this is the end of, by default the last.
    """
    unlock_checkpoint_folder(folder)
    draft = folder / f".{STATUS_FILE}.{os.getpid()}"
    values = {"state": state, "exit_code": exit_code, "ended_s": ended_s or disk_now_s(folder)}
    with suppress(UnreadableFile):
        values["job"] = job or _last_job(folder)
    with suppress(OSError):
        try:
            write_json(draft, values | {"reason": reason, **_failure_values(failure)})
            try:
                os.link(draft, folder / STATUS_FILE)
            except FileExistsError:
                if _may_be_replaced(folder, state):
                    draft.replace(folder / STATUS_FILE)
        finally:
            draft.unlink(missing_ok=True)


def _may_be_replaced(folder: Path, state: str) -> bool:
    """Return whether the status in a folder is void, says less than `state`, or cannot be read."""
    try:
        before = read_final_status(folder)
    except UnreadableFile:
        return True
    return before is None or before.is_explained_by(state)


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
