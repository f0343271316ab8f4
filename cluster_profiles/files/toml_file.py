"""TOML files checked against pydantic models, with one clear line for the first fault."""

import datetime as dt
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from ...errors import InputError, UnreadableFile
from .bounded_file import open_named, read_bytes

M = TypeVar("M", bound=BaseModel)

_LARGEST_FILE_BYTES = 1 << 20
_DEEPEST = 20  # tables within tables
_LONGEST_VALUE_SHOWN = 40  # characters


class Section(BaseModel):
    """A frozen table of a TOML file in which an unknown key is an error."""

    # Only the outermost model's validator is ever used, so only that one is built, when it is.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def read_toml(path: Path) -> str:
    """Return the text of a TOML file.  Raises InputError if it cannot be read."""
    try:
        return read_bytes(path, _LARGEST_FILE_BYTES, open_named).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnreadableFile as error:
        raise InputError(str(error)) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text, so it is no TOML file") from None


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Return the tables of a TOML text.  Raises InputError with line and column if it is not TOML."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:  # int() and nesting have limits
        *before, last = text.split("\n")
        end = f"(at line {len(before) + 1}, column {len(last) + 1}: the end)"
        fault = str(error).replace("(at end of document)", end)
        fault += "; text needs quotes" if fault.startswith("Invalid value") else ""
        raise InputError(f"{path}: is not valid TOML: {fault}") from None
    level: list[Any] = [tables]
    for _ in range(_DEEPEST):
        level = [inner for table in level for inner in (table.values() if isinstance(table, dict) else table)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
        if not level:
            return tables
    raise InputError(f"{path}: is nested more than {_DEEPEST} levels deep, which no job file or profile is")


def line_of(text: str, key: Sequence[str | int]) -> int | None:
    """Return the line that sets `key` (the names of its tables, then its own), counted from 1; None if none does.

    A number after a name is the place, from 0, in a list of tables of that name.

    >>> line_of("name = 'a'\\n[training]\\ngpus = 8\\n", ("training", "gpus"))
    3
    >>> line_of("[[partitions]]\\nnodes = 1\\n[[partitions]]\\nnodes = 0\\n", ("partitions", 1, "nodes"))
    4
    """
    names = [part for part in key if isinstance(part, str)] or [""]
    listed = names[: next((i for i, part in enumerate(key) if isinstance(part, int)), 0)]
    place = next((part for part in key if isinstance(part, int)), 0)
    *tables, last = names
    table, before = list[str](), -1
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[{1,2})\s*([^\]]+?)\s*\]", line):
            table = [part.strip().strip("\"'") for part in header[2].split(".")]
            before += header[1] == "[[" and table == listed
            if table == names and before in (-1, place):
                return number
        elif (
            table == tables
            and before in (-1, place)
            and re.match(rf"\s*[\"']?{re.escape(last)}[\"']?\s*(=|\.)", line)
        ):
            return number
    return None


def locate(text: str, path: Path, location: tuple[int | str, ...]) -> str:
    """Return the beginning of a fault's line: the file, the line if known, and the key; list items count from 1."""
    line = line_of(text, location)
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in location)
    return f"{path}:{f'{line}:' if line else ''} {f'{key}: ' if key else ''}"


def validate(
    model: type[M],
    values: Mapping[str, Any],
    place: Callable[[tuple[int | str, ...]], str],
    error: type[InputError] = InputError,
    keys_called: Callable[[str], Sequence[str]] = lambda _: (),
) -> M:
    """Return `values` as a `model`.  Raises `error` with one line: `place` of the first fault, then its reason.

    `keys_called` gives the keys that a key is meant to be, if other programs call them so.
    """
    try:
        return model.model_validate(values)
    except ValidationError as invalid:
        faults = invalid.errors()
        # A misspelt key is also a missing one: say the misspelling.
        fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
        raise error(place(fault["loc"]) + _reason(fault, model, keys_called)) from None


def _reason(fault: ErrorDetails, model: type[BaseModel], keys_called: Callable[[str], Sequence[str]]) -> str:
    kind = fault["type"]
    context = {name: _bound(value) for name, value in fault.get("ctx", {}).items()}
    if kind == "extra_forbidden":
        key, table = str(fault["loc"][-1]), _table_at(model, fault["loc"][:-1])
        return _unknown_key(key, table, model, keys_called(key))
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        message = str(context["error"])
        # A rule over several keys names them itself; a rule on one value needs that value in front.
        return message if isinstance(fault["input"], Mapping) else f"{_shown(fault['input'])} {message}"
    template = {
        "greater_than": "must be greater than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
        "enum": "must be one of {expected}",
        "literal_error": "must be one of {expected}",
        "finite_number": "must be a finite number",
        "bool_type": "must be true or false",
        "string_type": "must be text in quotes",
        "tuple_type": 'must be a list, such as ["a", "b"]',
        "model_type": "must be a table",
        "date_type": "must be a date such as 2026-11-01",
        "date_from_datetime_parsing": "must be a date such as 2026-11-01",
        "date_from_datetime_inexact": "must be a date such as 2026-11-01",
    }.get(kind)
    text = template.format(**context) if template else _lower_first(fault["msg"]).removeprefix("input ")
    return f"{_shown(fault['input'])} {text}"


def _unknown_key(
    key: str, table: type[BaseModel] | None, model: type[BaseModel], meant: Sequence[str]
) -> str:
    import difflib  # noqa: PLC0415  difflib, for a wrong key only

    keys = list(table.model_fields) if table else []
    elsewhere = [
        name for name in model.model_fields if (t := _table_at(model, (name,))) and key in t.model_fields
    ]
    if elsewhere:
        return f"unknown key here; it belongs in {' or '.join(f'[{name}]' for name in elsewhere)}"
    if meant:
        return f"unknown key; here it is {' or '.join(meant)}"
    nearest = difflib.get_close_matches(key, keys, n=1, cutoff=0.8)
    return (
        f"unknown key; did you mean {nearest[0]!r}?"
        if nearest
        else f"unknown key; the keys are {', '.join(keys)}"
    )


def _table_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    table: type[BaseModel] = model
    for part in location:
        if isinstance(part, int):
            continue
        inner = table_of(table.model_fields[part].annotation) if part in table.model_fields else None
        if inner is None:
            return None
        table = inner
    return table


def table_of(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a field that is a table, or may be one; None of any other field."""
    inner = [annotation, *getattr(annotation, "__args__", ())]
    return next((one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _shown(value: object) -> str:
    if isinstance(value, Fraction):
        value = int(value) if value.denominator == 1 else float(value)
    if isinstance(value, dt.date):
        value = value.isoformat()
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 1000 else "a huge integer"  # noqa: PLR2004
    return text if len(text) <= _LONGEST_VALUE_SHOWN else f"{text[:_LONGEST_VALUE_SHOWN]}..."


def _bound(value: object) -> object:
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{float(value):g}"
        if isinstance(value, float | Fraction)
        else value
    )


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
