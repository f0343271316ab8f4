"""Measurements from elsewhere in a CSV file, one per line."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...cluster_profiles.files.toml_file import validate
from ...cluster_profiles.visible_text import text_of_cell
from ...errors import InputError
from .entered import EnteredRun

if TYPE_CHECKING:
    import _csv

_LARGEST_BYTES = 16_000_000


def read_csv(path: Path) -> list[tuple[int, EnteredRun]]:
    """Return the measurements of a CSV file with their line numbers; its columns are the fields of `EnteredRun`.

    Raises InputError that names the line and the column of the first fault.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)  # of a device too
        if len(content) > _LARGEST_BYTES:
            raise InputError(f"{path}: is larger than 16 MB, which no table of measurements is")
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(path, header)
        entries = list(_parse_rows(path, header, rows))
    except csv.Error as error:
        raise InputError(f"{path}:{rows.line_num}: is not a line of CSV: {error}") from None
    if not entries:
        raise InputError(f"{path}: has no measurement: give one per line, below the names of the columns")
    return entries


def _check_header(path: Path, header: Sequence[str]) -> None:
    columns = list(EnteredRun.model_fields)
    if separator := next((mark for mark in (";", "\t") if mark in "".join(header[:1])), None):
        raise InputError(f"{path}:1: the columns are separated by {separator!r}: separate them by commas")
    for name in header:
        if name not in columns:
            raise InputError(f"{path}:1: {name!r} is not a column: the columns are {', '.join(columns)}")
        if header.count(name) > 1:
            raise InputError(f"{path}:1: column {name!r} stands twice: give it once")


def _parse_rows(path: Path, header: Sequence[str], rows: "_csv.Reader") -> Iterator[tuple[int, EnteredRun]]:
    for cells in rows:
        line = rows.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise InputError(f"{path}:{line}: has {len(cells)} cells, but the file has {len(header)} columns")
        texts = (text_of_cell(cell.strip()) for cell in cells)
        values = {name: text for name, text in zip(header, texts, strict=True) if text}

        def place(location: tuple[int | str, ...], line: int = line) -> str:
            return f"{path}:{line}: {f'{location[0]}: ' if location else ''}"

        yield line, validate(EnteredRun, values, place)
