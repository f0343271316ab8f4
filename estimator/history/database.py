"""The history's file: one SQLite database that many processes may read and several write.

It has a rollback journal, full synchronisation and a long busy timeout, so that it may lie on a network file system.
Compute nodes never open it.
"""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ...cluster_profiles.configuration import find_group
from ...cluster_profiles.modes import denial, give_to_group, make_folder
from ...errors import HistoryError, UnfitValue

T = TypeVar("T")

BUSY_S = 30.0
_CHECK = "`clusterplan history check` says what can be saved, and `clusterplan history import --rebuild` makes it anew"
# What a damaged file raises: SQLite's own errors, and Python's for a text that is no text.
DAMAGE = (sqlite3.Error, UnicodeDecodeError)
# What a column of a declared type may hold; of an expression, such as a sum, the type is SQLite's own.
_HELD = {"TEXT": (str,), "INTEGER": (int,), "REAL": (float, int), "NUMERIC": (float, int), "BLOB": (bytes,)}
_LATEST_S = 253_402_300_799.0  # the year 9999: no later time can be written down
# What SQLite raises for values that a damaged run folder may hold: too large numbers, text that is no text, none.
_UNFIT = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeError)

if TYPE_CHECKING:
    from sqlite_utils import Database


class HistoryFile:
    """The file at `path`, made if it is not there, or only read.  Raises HistoryError.

    `read_only` is for a file that was opened before: neither its version nor its schema is looked at again.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._is_holding = False
        try:
            if not read_only:
                make_folder(path.parent, None)
                if not path.exists():
                    _make(path, find_group(path))
            uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
            self._db = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute(
                "PRAGMA trusted_schema = OFF"
            )  # of a shared file, others can write views and triggers
            if not read_only:
                self._db.execute("PRAGMA journal_mode = DELETE")
                self._db.execute("PRAGMA synchronous = FULL")
                self._tables = self._migrate()
        except PermissionError:
            raise HistoryError(f"{path}: {denial(path)}") from None
        except OSError as error:
            raise HistoryError(f"{path}: cannot be opened: {error.strerror}") from None
        except DAMAGE as error:
            raise HistoryError(f"{path}: {_why_it_does_not_open(path, error)}") from None

    def _migrate(self) -> "Database":
        tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master")}
        if tables and "_sqlite_migrations" not in tables:
            raise HistoryError(f"{self.path}: is an SQLite file of something else; give another path")
        return _migrate(self._db, self.path)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Write everything in the block, or nothing.  Other processes wait meanwhile.  Raises HistoryError."""
        begins = not self._db.in_transaction
        try:
            if begins:
                self._db.execute("BEGIN IMMEDIATE")  # or two that read first would wait for each other
            try:
                with self._tables.atomic():
                    yield
            except BaseException:
                if begins and self._db.in_transaction:  # SQLite undoes all itself when the disk is full
                    self._db.execute("ROLLBACK")
                raise
        except _UNFIT as error:
            raise UnfitValue(f"the history cannot keep a value: {error}") from None
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: cannot be written: {error}") from None
        if begins and not self._is_holding:
            self.flush()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Commit the blocks of `writing` in here together, at a `flush` or at the end: a commit takes long.

        A crash costs the blocks since the last flush, each as a whole.  Other processes wait until then, so flush a
        few times per second.  Raises HistoryError.
        """
        self._is_holding = True
        try:
            yield
        finally:
            self._is_holding = False
            self.flush()

    def flush(self) -> None:
        """Commit all blocks of `writing` so far, and let other processes write.  Raises HistoryError."""
        if not self._db.in_transaction:
            return
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise HistoryError(f"{self.path}: cannot be written: {error}") from None

    def _rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        """Return the rows of a query.  Raises HistoryError, also for values that their columns cannot hold."""
        try:
            rows = [dict(row) for row in self._db.execute(query, values)]
        except DAMAGE as error:
            raise HistoryError(f"{self.path}: cannot be read: {error}; {_CHECK}") from None
        for name in rows[0].keys() & self._column_types.keys() if rows else ():
            values = [value for row in rows if (value := row[name]) is not None]
            if not _can_hold(self._column_types[name], name, values):
                wrong = next(each for each in values if not _can_hold(self._column_types[name], name, [each]))
                raise HistoryError(f"{self.path}: damaged: {name} is {wrong!r:.40}; {_CHECK}")
        return rows

    def _decode(self, column: str, text: str | None, decode: Callable[[str], T]) -> T | None:
        """Return what a text in a column stands for, None for none.  Raises HistoryError if `decode` raises ValueError."""
        try:
            return None if text is None else decode(text)
        except (ValueError, RecursionError):
            raise HistoryError(f"{self.path}: damaged: {column} is {text!r:.40}; {_CHECK}") from None

    @cached_property
    def _column_types(self) -> dict[str, tuple[type, ...]]:
        """The Python types that a column may hold, by its name in any table."""
        try:
            columns = self._db.execute(
                "SELECT c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
            ).fetchall()
        except DAMAGE as error:
            raise HistoryError(f"{self.path}: cannot be read: {error}; {_CHECK}") from None
        types = dict[str, tuple[type, ...]]()
        for name, declared in columns:
            types[name] = types.get(name, ()) + _HELD.get(declared, (object,))
        return types

    def _put(self, table: str, key: Sequence[str], values: Mapping[str, Any]) -> None:
        """Insert a row, or update the one of the same key.

        `upsert` of sqlite-utils would make a table in the file to find out whether SQLite has ON CONFLICT, and lose
        rows without a word once a full disk has refused that.  Raises UnfitValue for a value that the column cannot
        hold.
        """
        for name, value in values.items():
            types = self._column_types.get(name, (object,))
            if not (value is None or str in types or isinstance(value, (*types, bool)) or _is_whole(value)):
                raise UnfitValue(f"the history cannot keep a value: {name} is {value!r:.40}")
        marks = ", ".join(f":{name}" for name in values)
        rest = ", ".join(f"{name} = excluded.{name}" for name in values if name not in key)
        self._db.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"  # noqa: S608  tables and columns are ours
            f" ON CONFLICT ({', '.join(key)}) DO {f'UPDATE SET {rest}' if rest else 'NOTHING'}",
            dict(values),
        )

    def vacuum(self) -> tuple[int, int]:
        """Give free pages back to the disk.  Returns the file's bytes before and after.  Raises HistoryError."""
        before = self.path.stat().st_size
        try:
            self._db.execute("VACUUM")
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path}: cannot be vacuumed: {error}") from None
        return before, self.path.stat().st_size


def _make(path: Path, group: int | None) -> None:
    """Make a new history, which appears whole: of several processes that make it at once, the first wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        db = sqlite3.connect(draft, isolation_level=None)
        try:
            _migrate(db, path)
        finally:
            db.close()
        if group is not None:
            give_to_group(draft, group, 0o660)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _can_hold(types: tuple[type, ...], column: str, values: Sequence[Any]) -> bool:
    """Return whether a column of these types can hold values; of one in seconds they must be times or lengths."""
    if not all(issubclass(each, types) for each in set(map(type, values))):
        return False
    return not (values and column.endswith("_s")) or -_LATEST_S <= min(values) <= max(values) <= _LATEST_S


def _is_whole(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def _why_it_does_not_open(path: Path, error: Exception) -> str:
    if path.is_dir():
        return f"is a folder; the history is a file, such as {path / 'history.db'}"
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return f"cannot be made: the disk of {path.parent} is full; free space there, or give another path"
    if not all(os.access(place, os.R_OK | os.W_OK) for place in (path, path.parent) if place.exists()):
        return denial(path)
    return f"is no history that can be used: {error}; {_CHECK}"


def _migrate(db: sqlite3.Connection, path: Path) -> "Database":
    """Apply the migrations that a file lacks, all or none; of several processes at once, one does it.

    Raises HistoryError for a file of a newer clusterplan, which is left as it is.
    """
    from sqlite_utils import Database  # noqa: PLC0415  numpy, for commands that open no history

    from .schema import migrations, refuse_newer  # noqa: PLC0415  likewise

    tables = Database(db)
    refuse_newer(tables, path)
    if migrations.pending(tables):
        db.execute("BEGIN IMMEDIATE")
        migrations.apply(tables)  # those that are still pending now
        db.execute("COMMIT")
    return tables
