"""Damage to a JSON value, at any depth: another type, another number, a key less or more."""

import random
from collections.abc import Sequence
from typing import Any

MAX_BYTES = 4_000_000  # of a text that is put in

NUMBERS: Sequence[object] = (
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
    2**64,
    10**30,
    10**400,
    1e308,
    -1e308,
    1e-320,
    0.1,
    float("nan"),
    float("inf"),
    float("-inf"),
)
TEXTS: Sequence[object] = (
    "",
    "0",
    "nan",
    "\x00",
    "\x1b]0;owned\x07",
    "\ud800",
    "../../etc",
    "a" * 300,
    "9" * 5000,
    "running",
    "unheard_of",
    "\u202eabc",
    "1e400",
    "2026-13-45",
    "x\ny",
)
THINGS: Sequence[object] = (None, True, False, [], {}, [None], {"a": 1}, [[[]]], [1, "a", None], {"": {}})
BIG: Sequence[object] = ("x" * MAX_BYTES, [0] * 1_000_000, {str(i): i for i in range(100_000)})


def any_value(rng: random.Random) -> object:
    chosen: object = rng.choice(rng.choice((NUMBERS, TEXTS, THINGS)))
    return rng.choice(BIG) if rng.random() < 0.01 else chosen


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:20]}... ({len(text)} characters)"


def damage_value(rng: random.Random, value: Any) -> tuple[Any, str]:
    """Change one place of a JSON value, at any depth; return the new one and what was done."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        return _damage_keys(rng, value)
    if isinstance(value, list) and value and rng.random() < 0.7:
        return _damage_list(rng, value)
    if isinstance(value, int | float) and rng.random() < 0.5:
        new: object = rng.choice((-value, value * 1e6, value * 1e15, value + 0.5, value - 1e10, str(value)))
    else:
        new = any_value(rng)
    return new, shown(new)


def _damage_keys(rng: random.Random, values: dict[str, Any]) -> tuple[Any, str]:
    key, way = rng.choice(list(values)), rng.random()
    if way < 0.15:
        return {k: v for k, v in values.items() if k != key}, f"{key} dropped"
    if way < 0.2:
        new = rng.choice(("unheard_of", "", "\x00", "self", "__class__"))
        return values | {new: any_value(rng)}, f"key {new!r} added"
    if way < 0.24:
        return {("x" if k == key else k): v for k, v in values.items()}, f"{key} renamed"
    inner, what = damage_value(rng, values[key])
    return values | {key: inner}, f"{key}: {what}"


def _damage_list(rng: random.Random, values: list[Any]) -> tuple[Any, str]:
    place, way = rng.randrange(len(values)), rng.random()
    if way < 0.2:
        return values[:place] + values[place + 1 :], f"[{place}] dropped"
    if way < 0.3:
        return values * 3, "list three times"
    inner, what = damage_value(rng, values[place])
    return [*values[:place], inner, *values[place + 1 :]], f"[{place}]: {what}"
