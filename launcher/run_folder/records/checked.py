"""Values of JSON held against the annotations of a class: pure.

The node and `clusterplan status` read records, and would wait 0.1 s for pydantic.
Keys that the class does not have, as of a newer version, are skipped; fields that are missing take their defaults.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from .values import SCALARS, Bounds, Check, WrongValue, check_text, wrong

T = TypeVar("T")


def check_record(kind: type[T], values: object) -> T:
    """Return the record of this class that `values` describe.  Raises WrongValue.

    >>> from typing import NamedTuple
    >>> class Point(NamedTuple):
    ...     x: int
    ...     name: str | None = None
    >>> check_record(Point, {"x": 1, "unknown": 2})
    Point(x=1, name=None)
    >>> check_record(Point, {"x": "1"})
    Traceback (most recent call last):
    clusterplan.launcher.run_folder.records.values.WrongValue: x: "1" is no whole number
    """
    record: T = _check_of(cast("Hashable", kind))(values)
    return record


@cache
def _check_of(kind: Any) -> Check:  # noqa: PLR0911  one line per kind
    """Return the function that checks a value of a kind, and returns it as such."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any or kind is object:
        return lambda value: value
    if origin is Annotated:
        return _bounded(_check_of(arguments[0]), arguments[1])
    if origin in (Union, UnionType):
        return _optional(*map(_check_of, (each for each in arguments if each is not NoneType)))
    if is_typeddict(kind):
        return _table(kind)
    if is_dataclass(kind) or _is_named_tuple(kind):
        return _record(kind)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_check_of(arguments[1]))
    if origin is tuple and arguments[1:] != (...,):
        return _row(*map(_check_of, arguments))
    if origin is not None and issubclass(origin, Sequence):
        return _list(_check_of(arguments[0]))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind)
    return SCALARS[kind]


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_field_defaults")


def _bounded(check: Check, bounds: Bounds) -> Check:
    def check_bounds(value: object) -> Any:
        number = check(value)
        if not bounds.least <= number <= bounds.most:
            raise wrong(value, f"not from {bounds.least:g} to {bounds.most:g}")
        return number

    return check_bounds


def _optional(*checks: Check) -> Check:
    def check_each(value: object) -> Any:
        if value is None:
            return None
        for check in checks[:-1]:
            try:
                return check(value)
            except WrongValue:
                continue
        return checks[-1](value)

    return check_each


def _member(kind: type[Enum]) -> Check:
    def check_member(value: object) -> Any:
        try:
            return kind(value)
        except ValueError:
            raise wrong(value, f"none of {', '.join(str(each.value) for each in kind)}") from None

    return check_member


def _list(check: Check) -> Check:
    def check_items(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise wrong(value, "no list")
        return tuple(map(check, value))

    return check_items


def _row(*checks: Check) -> Check:
    def check_items(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(checks):
            raise wrong(value, f"no list of {len(checks)}")
        return tuple(check(item) for check, item in zip(checks, value, strict=True))

    return check_items


def _mapping(check: Check) -> Check:
    def check_values(value: object) -> dict[str, Any]:
        return {check_text(name): _named(name, check, item) for name, item in _object(value).items()}

    return check_values


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(value, "no object")
    return value


def _named(name: str, check: Check, value: object) -> Any:
    try:
        return check(value)
    except WrongValue as error:
        raise WrongValue(f"{name}{'.' if ': ' in str(error) else ': '}{error}") from None


def _record(kind: Any) -> Check:
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        declared = [each for each in fields(kind) if each.init]
        names = [each.name for each in declared]
        required = {each.name for each in declared if each.default is each.default_factory is MISSING}
    else:
        names = list(kind._fields)
        required = set(names) - set(kind._field_defaults)
    checks = [(name, _check_of(hints[name])) for name in names]

    def check_fields(value: object) -> Any:
        values = _object(value)
        if missing := next((name for name in names if name in required and name not in values), None):
            raise WrongValue(f"{missing} is missing")
        return kind(**{name: _named(name, check, values[name]) for name, check in checks if name in values})

    return check_fields


def _table(kind: Any) -> Check:
    """Check an open table: what it does not declare stays in it, because the file is written again from it."""
    checks = {name: _check_of(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}

    def check_values(value: object) -> Any:
        return {
            name: _named(name, checks[name], item) if name in checks else item
            for name, item in _object(value).items()
        }

    return check_values
