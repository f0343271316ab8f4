"""Records in files: one JSON document per file, or one per line."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ....cluster_profiles.files.bounded_file import (
    DOCUMENT_BYTES,
    Opener,
    open_regular,
    read_bytes,
    read_text,
)
from ....errors import UnreadableFile
from .checked import check_record
from .values import WrongValue

T = TypeVar("T")


def read_record(
    kind: type[T], path: Path, opener: Opener = open_regular, *, most_bytes: int = DOCUMENT_BYTES
) -> T | None:
    """Return the record of this class in a file; None without a file.

    Raises UnreadableFile for a file that cannot be read, has more bytes, or holds anything else.
    """
    try:
        text = read_text(path, most_bytes, opener)
    except FileNotFoundError:
        return None
    try:
        return check_record(kind, parse_json(text))
    except WrongValue as error:
        raise UnreadableFile(path, str(error)) from None
    except ValueError as error:
        raise UnreadableFile(path, f"is no JSON: {error}") from None


def read_lines(kind: type[T], path: Path) -> list[T]:
    """Return the records in the lines of a file, none without a file.

    A line that a full disk tore, or that holds anything else, is left out.  Raises UnreadableFile as `read_record` does,
    and for a file in which no whole line is a record.
    """
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return []
    records = list[T]()
    for line in content.splitlines():
        with suppress(ValueError):
            records.append(check_record(kind, parse_json(line.decode())))
    if not records and b"\n" in content:
        raise UnreadableFile(path, "no line of it is a record")
    return records


def parse_json(text: str) -> Any:
    """Return the values of a JSON text.  Raises ValueError, also for one that is nested too deep.

    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: nested too deep
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
