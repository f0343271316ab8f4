"""What was wrong with a run's folder when it was collected last, so that it is said once, and read again."""

import sqlite3
from contextlib import closing
from pathlib import Path

from .database import HistoryFile


class HistoryFaults(HistoryFile):
    """The faults of run folders."""

    def put_fault(self, run: str, reason: str, stamp: str) -> None:
        """Put what is wrong with a run's folder; `stamp` changes with the file that is at fault."""
        with self.writing():
            self._put("fault", ("run",), {"run": run, "reason": reason, "stamp": stamp})

    def remove_fault(self, run: str) -> None:
        """Forget what was wrong with a run's folder: it is whole now."""
        with self.writing():
            self._db.execute("DELETE FROM fault WHERE run = ?", (run,))

    def has_fault(self, run: str) -> bool:
        """Return whether something was wrong with a run's folder when it was collected last."""
        return bool(self._rows("SELECT 1 FROM fault WHERE run = ?", (run,)))

    def faults(self) -> dict[str, tuple[str, str]]:
        """Return the reason and the stamp of each fault, by run."""
        return {
            row["run"]: (row["reason"], row["stamp"])
            for row in self._rows("SELECT * FROM fault ORDER BY run")
        }


def read_faults(path: Path) -> dict[str, str]:
    """Return the reason of each fault in a history file, by run; none from a file that cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
            return dict(db.execute("SELECT run, reason FROM fault ORDER BY run"))
    except sqlite3.Error:  # the check of the file says why
        return {}
