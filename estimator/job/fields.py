"""Kinds of fields in the job file: exact numbers, durations of a step, and fields with a flag on the command line."""

from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ...cluster_profiles.units import parse_count, parse_duration_s, parse_exact

MOST_STEPS = 10**12


def _exact(value: object) -> Fraction:
    number = parse_exact(value)
    if number.denominator > 10**6:
        raise ValueError("has more than 6 digits after the point")
    return number


def _step_seconds(value: object) -> float:
    text = value.strip().lower() if isinstance(value, str) else value
    try:
        if isinstance(text, str) and text.endswith("ms"):
            return float(parse_exact(text.removesuffix("ms")) / 1000)
        return float(parse_exact(text))
    except ValueError:
        pass
    try:
        return parse_duration_s(text)
    except ValueError:
        raise ValueError('is not a duration such as 0.3, "300ms" or "1m 20s"') from None


def _steps_or_share(value: object) -> int | float:
    try:
        number = parse_exact(value)
    except ValueError:
        return parse_count(value)
    if number.denominator != 1 and number < 1:
        return float(number)
    if number.denominator != 1:
        raise ValueError(
            f"is neither a whole number of steps nor a share of the run below 1: give {int(number):,}, or 0.1"
        )
    return int(number)


StepsOrShare = Annotated[int | float, BeforeValidator(_steps_or_share)]
StepSeconds = Annotated[float, BeforeValidator(_step_seconds), Field(allow_inf_nan=False)]
Exact = Annotated[Fraction, BeforeValidator(_exact)]


def switch(name: str, description: str) -> Any:
    """Return a field that is true or false, with a flag that takes no value."""
    return flag(default=False, name=name, metavar="", description=description)


def flag(default: Any, name: str, metavar: str, description: str, **bounds: Any) -> Any:
    """Return a field with a flag called `name`; `metavar` stands for its value in the help."""
    return Field(
        default, description=description, json_schema_extra={"flag": name, "metavar": metavar}, **bounds
    )


def section(name: str) -> Any:
    """Return a field that is a table of the file; it is empty where the file leaves it out."""
    # An empty table, validated as part of the whole: a default of its own would need a validator of its own.
    return Field(default_factory=dict, validate_default=True, description=f"`{name}`")
