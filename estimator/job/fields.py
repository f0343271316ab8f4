"""Kinds of fields in the job file: exact numbers, durations of a step, and fields with a flag on the command line."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ...cluster_profiles.units import parse_count, parse_duration_s, parse_exact, parse_length

MOST_STEPS = 10**12


def _exact(value: object) -> Fraction:
    number = parse_exact(value)
    if number.denominator > 10**6:
        raise ValueError("has more than 6 digits after the point")
    return number


def _packed_share(value: object) -> Fraction:
    if isinstance(value, bool):
        raise ValueError(  # noqa: TRY004  pydantic's way
            "is no share: packing is how full the packed sequences are, such as 0.95, beside tokens and seq_len; packed "
            "sequences that are counted are samples"
        )
    return _exact(value)


def _short_seconds(value: object) -> float:
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


# A loop's turns, as progress bars name them; the bar of a loop over micro-batches calls these the same.
_TURN = r"(?:it|iter|iteration|step|update|batche?|micro[- ]?batche?)s?"
_PER_SECOND = re.compile(rf"(.+?)\s*(?:{_TURN}\s*/\s*s(?:ec|econd)?|ups)")  # ups: fairseq
_PER_TURN = re.compile(rf"(.+?)(?:ec|econds?)?\s*/\s*{_TURN}")
_MICRO_BATCH = re.compile(r"micro[- ]?batch", re.IGNORECASE)


def _turn_seconds(value: object) -> float:
    text = value.strip().lower() if isinstance(value, str) else ""
    try:
        if (rate := _PER_SECOND.fullmatch(text)) and (per_s := parse_exact(rate[1])) > 0:
            return float(1 / per_s)
        each = _PER_TURN.fullmatch(text)
        return _short_seconds(each[1] if each else value)
    except ValueError:
        raise ValueError('is not a duration such as 0.3, "300ms", "3.7s/it" or "0.27it/s"') from None


def _step_seconds(value: object) -> float:
    if isinstance(value, str) and _MICRO_BATCH.search(value):
        raise ValueError("is the time of a micro-batch: give it as micro_batch_time")
    return _turn_seconds(value)


def _share(value: object) -> float:
    text = value.strip() if isinstance(value, str) else value
    is_percent = isinstance(text, str) and text.endswith("%")
    number = float(parse_exact(text.removesuffix("%").strip() if isinstance(text, str) else text))
    if not is_percent and number > 1:
        raise ValueError(f'is more than 1: give a share such as 0.56, or "{number:g}%"')
    return number / 100 if is_percent else number


def _rate_of(nouns: str) -> Callable[[object], float]:
    """Return what reads a rate with or without its unit, one of these nouns per second."""
    unit = re.compile(rf"(.+?)\s*(?:{nouns})?\s*(?:/|per )\s*s(?:ec|econd)?", re.IGNORECASE)

    def read(value: object) -> float:
        written = unit.fullmatch(value.strip()) if isinstance(value, str) else None
        return _rate(written[1] if written else value)

    return read


def _rate(value: object) -> float:
    """Read a rate as logs print it: 36,653.2 and 300k too."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
        return float(parse_exact(text.replace(",", "")))
    if factor := {"k": 10**3, "m": 10**6}.get(text[-1:]):
        return float(parse_exact(text[:-1]) * factor)
    return float(parse_exact(value))


def _steps_or_share(value: object) -> int | float:
    try:
        number = parse_exact(value)
    except ValueError:
        pass
    else:
        return _whole_or_share(number)
    try:
        return parse_count(value)
    except ValueError:
        raise ValueError(
            "is neither steps such as 500 nor a share of the run such as 0.1; epochs are given as every_epochs"
        ) from None


def _whole_or_share(number: Fraction) -> int | float:
    if number.denominator != 1 and number < 1:
        return float(number)
    if number.denominator != 1:
        raise ValueError(
            f"is neither a whole number of steps nor a share of the run below 1: give {int(number):,}, or 0.1"
        )
    return int(number)


StepsOrShare = Annotated[int | float, BeforeValidator(_steps_or_share)]
ShortSeconds = Annotated[float, BeforeValidator(_short_seconds), Field(allow_inf_nan=False)]
StepSeconds = Annotated[float, BeforeValidator(_step_seconds), Field(allow_inf_nan=False)]
MicroBatchSeconds = Annotated[float, BeforeValidator(_turn_seconds), Field(allow_inf_nan=False)]
SampleRate = Annotated[
    float, BeforeValidator(_rate_of("samples?|sequences?|seqs?|images?|imgs?")), Field(allow_inf_nan=False)
]
TokenRate = Annotated[float, BeforeValidator(_rate_of("tokens?|toks?")), Field(allow_inf_nan=False)]
FlopRate = Annotated[float, BeforeValidator(_rate_of("tflops?")), Field(allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_share), Field(allow_inf_nan=False)]
Length = Annotated[int, BeforeValidator(parse_length)]
PackedShare = Annotated[Fraction, BeforeValidator(_packed_share)]
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
