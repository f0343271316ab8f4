"""Whether a history file is sound, and what can be read of a damaged one; the file is only read."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...cluster_profiles.modes import denial
from ...cluster_profiles.units import plural
from ...errors import DamagedBlock, HistoryError
from .database import DAMAGE
from .packed_block import check_block
from .samples import name_block

_MOST_FAULTS = 100  # that SQLite's check lists


@dataclass(frozen=True)
class Integrity:
    """The faults of a file (none: it is sound), the runs that can be read, and the rows of a damaged file by table.

    A fault is of SQLite's own check, or of a block of readings that cannot be unpacked.
    """

    faults: tuple[str, ...]
    rows: dict[str, int]
    runs: tuple[str, ...]


def history_exists(path: Path) -> bool:
    """Return whether there is a file.  Raises HistoryError in a folder that this user may not read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        reason = denial(path) if isinstance(error, PermissionError) else f"cannot be read: {error.strerror}"
        raise HistoryError(f"{path}: {reason}") from None
    return True


def check_integrity(path: Path) -> Integrity:
    """Return what SQLite's own check and the blocks say of a file, and what can be read of it, whatever its state.

    Raises HistoryError for a file of a newer clusterplan, and for one that this user may not read.
    """
    if not os.access(path, os.R_OK):
        raise HistoryError(f"{path}: {denial(path)}")
    mode = "rw" if os.access(path, os.W_OK) else "ro"  # what a crash left is undone by one who may write
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)
    except sqlite3.Error as error:
        return Integrity((str(error),), {}, ())
    try:
        _refuse_newer(db, path)
        faults = (*_faults(db), *_block_faults(db))
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
    except DAMAGE as error:
        yield str(error)
        return
    yield from (text for text in texts if text != "ok")
    if tables and "_sqlite_migrations" not in tables:
        yield "an SQLite file of something else"


def _refuse_newer(db: sqlite3.Connection, path: Path) -> None:
    from sqlite_utils import Database  # noqa: PLC0415  numpy, for commands that check no history

    from .schema import refuse_newer  # noqa: PLC0415  likewise

    with contextlib.suppress(*DAMAGE):  # its own check says more
        refuse_newer(Database(db), path)


def _block_faults(db: sqlite3.Connection) -> Iterator[str]:
    """Yield one text per run that has a block which cannot be unpacked."""
    bad = dict[str, list[str]]()
    blocks = "SELECT run, uuid, time_s, ticks, packed FROM raw_block"
    for run, uuid, time_s, ticks, packed in _readable(db, f"{blocks} ORDER BY run, uuid, time_s"):
        try:
            check_block(packed, ticks)
        except DamagedBlock as error:
            bad.setdefault(str(run), []).append(f"{name_block(uuid, time_s)}: {error}")
    for run, texts in bad.items():
        others = f", and {plural(len(texts) - 1, 'other block')}" if len(texts) > 1 else ""
        yield f"run {run}: {texts[0]}{others}"


def _count_rows(db: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    for row in _readable(db, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"):
        table = str(row[0])
        if not table.startswith(("sqlite_", "_")):
            yield table, sum(1 for _ in _readable(db, f"SELECT * FROM {table}"))  # noqa: S608  our own tables


def _readable(db: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    """Yield rows up to the first fault."""
    try:
        yield from db.execute(query)
    except DAMAGE:
        return
