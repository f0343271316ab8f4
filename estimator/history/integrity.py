"""Whether a history file is sound, and what can be read of a damaged one; the file is only read."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MOST_FAULTS = 100  # that SQLite's check lists


@dataclass(frozen=True)
class Integrity:
    """The faults of a file (none: it is sound), the runs that can be read, and the rows of a damaged file by table."""

    faults: tuple[str, ...]
    rows: dict[str, int]
    runs: tuple[str, ...]


def check_integrity(path: Path) -> Integrity:
    """Return what SQLite's own check says of a file, and what can be read of it, whatever its state."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    except sqlite3.Error as error:
        return Integrity((str(error),), {}, ())
    try:
        faults = tuple(_faults(db))
        runs = {
            row[0]
            for query in ("SELECT run FROM run ORDER BY run", "SELECT run FROM run ORDER BY run DESC")
            for row in _readable(db, query)  # up to a fault, from both ends
            if isinstance(row[0], str)
        }
        rows = dict(_count_rows(db)) if faults else {}
    finally:
        db.close()
    return Integrity(faults, rows, tuple(sorted(runs)))


def _faults(db: sqlite3.Connection) -> Iterator[str]:
    try:
        texts = [row[0] for row in db.execute(f"PRAGMA integrity_check({_MOST_FAULTS})")]
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        yield str(error)
        return
    yield from (text for text in texts if text != "ok")
    if tables and "_sqlite_migrations" not in tables:
        yield "an SQLite file of something else"


def _count_rows(db: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    for row in _readable(db, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"):
        table = str(row[0])
        if not table.startswith(("sqlite_", "_")):
            yield table, sum(1 for _ in _readable(db, f"SELECT * FROM {table}"))  # noqa: S608  our own tables


def _readable(db: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    """Yield rows up to the first fault."""
    try:
        yield from db.execute(query)
    except sqlite3.Error:
        return
