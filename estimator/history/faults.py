"""What was wrong with a run's folder when it was collected last, so that it is said once, and read again."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from .database import HistoryFile


class KnownFault(NamedTuple):
    """What is wrong with a run's folder: a line, and stamps of the file and of the folder, which change with them.

    An empty `folder_stamp` is that of a fault that may go by itself, as of a disk that does not answer.
    """

    reason: str
    file_stamp: str
    folder_stamp: str


class HistoryFaults(HistoryFile):
    """The faults of run folders."""

    def put_fault(self, run: str, fault: KnownFault) -> None:
        """Put what is wrong with a run's folder, in place of an earlier fault."""
        with self.writing():
            self._put("fault", ("run",), {"run": run, **fault._asdict()})

    def remove_fault(self, run: str) -> None:
        """Forget what was wrong with a run's folder: it is whole now."""
        with self.writing():
            self._db.execute("DELETE FROM fault WHERE run = ?", (run,))

    def fault(self, run: str) -> KnownFault | None:
        """Return what was wrong with a run's folder when it was collected last; None if nothing was."""
        rows = self._rows("SELECT reason, file_stamp, folder_stamp FROM fault WHERE run = ?", (run,))
        return KnownFault(**rows[0]) if rows else None


def read_fault_reasons(path: Path) -> dict[str, str]:
    """Return the reason of each fault in a history file, by run; none from a file that cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
            return dict(db.execute("SELECT run, reason FROM fault ORDER BY run"))
    except sqlite3.Error:  # the check of the file says why
        return {}
