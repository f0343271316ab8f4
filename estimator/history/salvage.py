"""What can still be read of a history file that may be damaged; the file is left as it is.

It does without what the history itself relies on.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TABLES = {  # and what tells their rows apart
    "run": "run",
    "node": "run, node",
    "gpu": "uuid",
    "run_gpu": "run, uuid",
    "series": "run, uuid",
    "rollup_row": "series, width_s, time_s",
    "raw_block": "run, uuid, time_s",
    "event": "run, node, time_s, kind, text",
    "note": "run, code, uuids",
    "measurement": "id",
    "estimate": "run",
    "spool": "run, spool",
    "spool_gpu": "run, uuid, spool",
}
_MOST_FAULTS = 100  # what SQLite's check lists at most


@dataclass(frozen=True)
class Salvage:
    """Faults (none: the file is sound), rows of each table that can be read, and the runs among them.

    Rows are counted of a damaged file only.
    """

    faults: tuple[str, ...]
    rows: dict[str, int]
    runs: tuple[str, ...]


def examine(path: Path) -> Salvage:
    """What a history file holds, whatever its state."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    except sqlite3.Error as error:
        return Salvage((str(error),), {}, ())
    try:
        faults = tuple(_faults(db))
        runs = {row[0] for row in _readable(db, "run", "run") if isinstance(row[0], str)}
        rows = {table: len(set(_readable(db, table, key))) for table, key in TABLES.items()} if faults else {}
    finally:
        db.close()
    return Salvage(faults, rows, tuple(sorted(runs)))


def _faults(db: sqlite3.Connection) -> Iterator[str]:
    try:
        found = [row[0] for row in db.execute(f"PRAGMA integrity_check({_MOST_FAULTS})")]
        names = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        yield str(error)
        return
    yield from (text for text in found if text != "ok")
    if names and "_sqlite_migrations" not in names:
        yield "an SQLite file of something else"


def _readable(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """Rows from the front up to the first fault, then from the back: what is seen twice is the same."""
    for order in ("", "ORDER BY rowid DESC", "ORDER BY 1 DESC"):
        try:
            yield from db.execute(f"SELECT {columns} FROM {table} {order}")  # noqa: S608  our own names
        except sqlite3.Error:
            continue
        return
