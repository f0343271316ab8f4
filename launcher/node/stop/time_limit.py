"""When a run's time is over, counted from the start of its allocation, and not of this process.

Slurm's warning may be missing: a site may drop `--signal`, or a user may shorten it.  So the guard looks at the clock
too.  The first task decides, because all tasks of a run save together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ....errors import ClusterplanError
from ...run_folder.task_file import TaskFile
from ...run_folder.task_records import read_task_record
from ...slurm import client as slurm
from ..restart_policy import StopCause

_WHOLE_S = 1.0  # Slurm counts whole seconds
_CHECK_S = 2.0  # of the first task's record, on the disk that all nodes share


@dataclass
class TimeLimit:
    """The time, in Unix seconds, at which Slurm ends the job; None is no limit, or one that is not known.

    `grace_s` before it, the command is told to save.
    """

    folder: Path
    file: TaskFile
    grace_s: float
    ends_s: float | None
    next_check_s: float = 0.0

    @classmethod
    def read(
        cls, folder: Path, file: TaskFile, grace_s: float, environment: Mapping[str, str]
    ) -> "TimeLimit":
        """Return the limit of a job: from the variable that Slurm 23.02 and later sets, else as the controller says.

        The first task asks the controller, and the others read it in the record of the first.
        """
        text = environment.get("SLURM_JOB_END_TIME", "")
        ends_s = float(text) if text.isdecimal() else None
        if ends_s is None and file.record.rank == 0:
            ends_s = _read_end_s(file)
        file.update(ends_s=ends_s)
        return cls(folder, file, grace_s, ends_s)

    def is_near(self, now_s: float) -> bool:
        """Return whether the command is to be told to save."""
        if now_s < self.next_check_s or (self.ends_s is not None and now_s < self.ends_s - self.grace_s):
            return False
        if self.file.record.rank == 0:
            return self._is_near_for_first(now_s)
        # Without a time, one look per heartbeat is enough.
        self.next_check_s = now_s + (_CHECK_S if self.ends_s else 10 * _CHECK_S)
        first = read_task_record(self.folder, replace(self.file.record, rank=0).file_name)
        if first is None:
            return False
        self.ends_s = first.ends_s
        return first.stop_cause == StopCause.TIME_LIMIT

    def _is_near_for_first(self, now_s: float) -> bool:
        if self.ends_s is None:
            return False
        latest_s = _read_end_s(self.file)  # an administrator may have given it more time
        if latest_s is not None and latest_s > self.ends_s + _WHOLE_S:
            self.ends_s = latest_s
            self.file.update(ends_s=latest_s)
        return now_s >= self.ends_s - self.grace_s

    def grace_left_s(self, now_s: float, margin_s: float) -> float:
        """Return the time to save: the grace, or all that is left but `margin_s` where Slurm warned earlier."""
        return self.grace_s if self.ends_s is None else max(self.grace_s, self.ends_s - now_s - margin_s)


def _read_end_s(file: TaskFile) -> float | None:
    """By the run's clock: that of the controller may be another."""
    try:
        facts = slurm.read_job(file.record.job)
    except ClusterplanError:
        return None
    if facts is None or facts.limit_s is None:
        return None
    return facts.end_s if facts.left_s is None else file.now_s() + facts.left_s
