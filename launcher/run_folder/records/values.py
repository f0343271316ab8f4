"""Single values of JSON, checked: pure."""

import json
import math
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple

Check = Callable[[Any], Any]
_LONGEST_SHOWN = 40  # characters
_LARGEST = 2**63  # SQLite's integers end there
_LARGEST_NUMBER = 1e300  # so that sums and products are numbers too


class WrongValue(ValueError):  # noqa: N818  it says what is wrong
    """A value is not what its field holds; the text names the field."""


class Bounds(NamedTuple):
    """The least and the greatest value of a number."""

    least: float
    most: float


Seconds = Annotated[float, Bounds(0, 1e11)]  # a Unix time before the year 5000, or a duration
Signed = Annotated[float, Bounds(-1e11, 1e11)]  # a difference of times
Count = Annotated[int, Bounds(0, 2**53)]
Positive = Annotated[int, Bounds(1, 2**31)]  # nodes, GPUs
ExitCode = Annotated[int, Bounds(-(2**31), 2**31)]


def wrong(value: object, what: str) -> WrongValue:
    """Return the error that says what a value is not."""
    if isinstance(value, list | dict):
        shown = "a list" if isinstance(value, list) else "an object"
    elif isinstance(value, int) and abs(value) >= _LARGEST:
        shown = "a huge number"
    else:
        shown = json.dumps(value)
        shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
    return WrongValue(f"{shown} is {what}")


def check_text(value: object) -> str:
    """Return a text that a path or an argument can be.  Raises WrongValue."""
    if not isinstance(value, str):
        raise wrong(value, "no text")
    try:
        if b"\0" not in os.fsencode(value):
            return value
    except UnicodeEncodeError:
        pass
    raise wrong(value, "no text that a path or an argument could be")


def _whole(value: object) -> int:
    if type(value) is not int or abs(value) >= _LARGEST:
        raise wrong(value, "no whole number")
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) >= _LARGEST_NUMBER:  # type: ignore[arg-type]
        raise wrong(value, "no number")
    return value  # type: ignore[return-value]


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise wrong(value, "neither true nor false")
    return value


def _moment(value: object) -> datetime:
    try:
        return datetime.fromisoformat(check_text(value))
    except ValueError:
        raise wrong(value, "no ISO date") from None


SCALARS: Mapping[Any, Check] = {
    str: check_text,
    int: _whole,
    float: _number,
    bool: _truth,
    datetime: _moment,
}
