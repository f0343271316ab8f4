"""The history's file: one SQLite database that many may read and several write.

Rollback journal, full synchronisation and a long busy timeout, so that the file may lie on a network file
system and several processes may use it at once.  Compute nodes never open it.
"""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ...errors import HistoryError, UnfitValue

BUSY_S = 30.0
_CHECK = "`clusterplan history check` says what can be saved"
# What a run's folder may hold though no run of ours says it: numbers of any size, text that is no text, nothing.
_UNFIT = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeError)
_TRIES = 50


class HistoryFile:
    """The file at `path`, made if it is not there.  Raises HistoryError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = False
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                _make(path)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = DELETE")
            self._db.execute("PRAGMA synchronous = FULL")
            self._migrate()
        except OSError as error:
            raise HistoryError(f"{path}: cannot be opened: {error.strerror}") from None
        except sqlite3.Error as error:
            raise HistoryError(f"{path}: is no history that can be used: {error}; {_CHECK}") from None

    def _migrate(self) -> None:
        tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master")}
        if tables and "_sqlite_migrations" not in tables:
            raise HistoryError(f"{self.path}: is an SQLite file of something else; give another path")
        _apply_migrations(self._db)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """All that is written in the block, or nothing.  Others wait for it.  Raises HistoryError."""
        alone = not (self._held or self._db.in_transaction)
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("SAVEPOINT block")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # SQLite undoes all itself when the disk is full
                    for said in ("ROLLBACK",) if alone else ("ROLLBACK TO block", "RELEASE block"):
                        self._db.execute(said)
                raise
            self._db.execute("RELEASE block")
        except _UNFIT as error:
            raise UnfitValue(f"the history cannot keep a value: {error}") from None
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: cannot be written: {error}") from None
        if alone:
            self.flush()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What is written in here is on the disk at a `flush`, or the end, and not each time, which takes long.

        A crash costs what was written since, every block of `writing` as a whole; others wait until then, so flush
        a few times a second.  Raises HistoryError.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self.flush()

    def flush(self) -> None:
        """Have all that was written on the disk, and let others write.  Raises HistoryError."""
        if not self._db.in_transaction:
            return
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise HistoryError(f"{self.path}: cannot be written: {error}") from None

    def _rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        try:
            return [dict(row) for row in self._db.execute(query, values)]
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: cannot be read: {error}; {_CHECK}") from None

    def _put(self, table: str, key: Sequence[str], values: Mapping[str, Any]) -> None:
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        rest = ", ".join(f"{name} = excluded.{name}" for name in values if name not in key)
        self._db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608  tables and columns are ours
            f" ON CONFLICT ({', '.join(key)}) DO {'UPDATE SET ' + rest if rest else 'NOTHING'}",
            dict(values),
        )

    def vacuum(self) -> tuple[int, int]:
        """Give free pages back; the file's bytes before and after.  Raises HistoryError."""
        before = self.path.stat().st_size
        try:
            self._db.execute("VACUUM")
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: cannot be vacuumed: {error}") from None
        return before, self.path.stat().st_size


def _make(path: Path) -> None:
    """A new history, which appears whole: of several who make it at once, the first wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        db = sqlite3.connect(draft, isolation_level=None)
        try:
            _apply_migrations(db)
        finally:
            db.close()
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _apply_migrations(db: sqlite3.Connection) -> None:
    import sqlite_utils  # noqa: PLC0415  slow to load, and a history that is up to date needs no migration

    from .schema import migrations  # noqa: PLC0415  likewise

    wrapped = sqlite_utils.Database(db)
    for left in reversed(range(_TRIES)):
        try:
            if migrations.pending(wrapped):
                migrations.apply(wrapped)
        except sqlite3.Error:  # another process may be at the very same
            if db.in_transaction:
                db.execute("ROLLBACK")
            if not left:
                raise
            db.execute("BEGIN IMMEDIATE")  # waits for it
            db.execute("ROLLBACK")
        else:
            return
