"""Numbers as frameworks print them, by quantity: the name of a quantity has the unit in it.  Pure."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d*)?(?:[eE][-+]?\d+)?"
_SUFFIX = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
_WHOLE = re.compile(rf"\s*({_NUMBER})\s*([KMGBT]?)\s*%?\s*")
_CLOCK = re.compile(r"(?:(?P<d>\d+) days?, )?(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>\d+(?:\.\d+)?)")
_PIECES = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])")
_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_US_DATE = re.compile(r"^(\d\d)/(\d\d)/(\d{4})")  # of nanotron
_MOST, _MOST_DIGITS = 1e15, 40  # what is larger is torn, or no number of a training
_OF = re.compile(r"\s*(\d+)\s*/\s*(\d+)\s*")


def parse_number(text: str) -> float | None:
    """Return a number as it is printed, with separators of thousands or a suffix; None if it is none.

    >>> parse_number("6,667"), parse_number("1.36K"), parse_number("31.36%"), parse_number("nan"), parse_number("-")
    (6667.0, 1360.0, 31.36, nan, None)
    """
    with suppress(ValueError):
        return float(text)
    with suppress(ValueError):
        if match := _WHOLE.fullmatch(text):
            return float(match[1].replace(",", "")) * _SUFFIX[match[2]]
    return None


def parse_elapsed_s(text: str) -> float | None:
    """Return the seconds of a duration as progress bars, timedelta and ms-swift write it; None if it is none.

    >>> parse_elapsed_s("07:02"), parse_elapsed_s("1 day, 2:03:04"), parse_elapsed_s("4m 28s")
    (422.0, 93784.0, 268.0)
    """
    text = text.strip()[:_MOST_DIGITS]
    if match := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (float(match[unit] or 0) for unit in "dhms")
        return days * 86400 + hours * 3600 + minutes * 60 + seconds
    if pieces := _PIECES.findall(text):
        return sum(float(number) * _UNIT_S[unit] for number, unit in pieces)
    return parse_number(text)


def parse_date(text: str) -> float | None:
    """Return the Unix time of a date as logging prints it, in the zone of this machine; None if it is none."""
    text = _US_DATE.sub(r"\3-\1-\2", text.strip())
    try:
        return datetime.fromisoformat(text.replace(",", ".").replace("/", "-")).timestamp()
    except (ValueError, OverflowError):
        return None


def _loss(name: str) -> Callable[[str], dict[str, float]]:
    def read(text: str) -> dict[str, float]:
        number = parse_number(text)
        return {} if number is None else {name: number}  # NaN is one, too

    return read


def _scaled(name: str, factor: float = 1.0) -> Callable[[str], dict[str, float]]:
    def read(text: str) -> dict[str, float]:
        number = parse_number(text)
        return {} if number is None or not 0 <= number < _MOST else {name: number * factor}

    return read


def _count(name: str, offset: int = 0) -> Callable[[str], dict[str, float]]:
    def read(text: str) -> dict[str, float]:
        number = parse_number(text)
        is_count = number is not None and 0 <= number < _MOST and number.is_integer()
        return {name: int(number or 0) + offset} if is_count else {}

    return read


def _inverse(text: str) -> dict[str, float]:
    number = parse_number(text)
    return {"step_time_s": 1 / number} if number and 1 / _MOST < number < _MOST else {}


def _parsed(name: str, parse: Callable[[str], float | None]) -> Callable[[str], dict[str, float]]:
    def read(text: str) -> dict[str, float]:
        value = parse(text)
        return {name: value} if value is not None and 0 <= value < _MOST else {}

    return read


def _step_of_total(text: str) -> dict[str, float]:
    match = _OF.fullmatch(text[:_MOST_DIGITS])
    return {"step": int(match[1]), "total_steps": int(match[2])} if match else {}


# What a quantity becomes in a record.
QUANTITIES: Mapping[str, Callable[[str], dict[str, float]]] = {
    "date": _parsed("time_s", parse_date),
    "elapsed": _parsed("elapsed_s", parse_elapsed_s),
    "elapsed_s": _scaled("elapsed_s"),
    "step": _count("step"),
    "session_step": _count("session_step"),
    "total_steps": _count("total_steps"),
    "last_step_from_0": _count("total_steps", offset=1),
    "step_of_total": _step_of_total,
    "epoch": _scaled("epoch"),
    "total_epochs": _scaled("total_epochs"),
    "epoch_number": _count("epoch_number"),
    "epoch_step": _count("epoch_step"),
    "epoch_length": _count("epoch_length"),
    "length": lambda _: {},
    "step_time_s": _scaled("step_time_s"),
    "step_time_ms": _scaled("step_time_s", 1e-3),
    "steps_per_s": _inverse,
    "samples_per_s": _scaled("samples_per_s"),
    "tokens_per_s": _scaled("tokens_per_s"),
    "tokens_per_s_per_gpu": _scaled("tokens_per_s_per_gpu"),
    "global_batch_size": _count("global_batch_size"),
    "loss": _loss("loss"),
    "learning_rate": _loss("learning_rate"),
    "evaluation_loss": _loss("evaluation_loss"),
    "seconds": _scaled("seconds"),
    "seconds_ms": _scaled("seconds", 1e-3),
    "wait_s": _scaled("wait_s"),
    "wait_percent": _scaled("wait_share", 1e-2),
    "rank": _count("rank"),
}


_VALUE = re.compile(
    rf"""['"]?(?:\s*[:=]\s*|\s+)\[?(?:'([^']*)'|"([^"]*)"|(nan|NaN|-?inf|-?Infinity|{_NUMBER}(?:[KMGBT](?!\w))?))"""
)


def read_values(text: str, values: Mapping[str, str]) -> dict[str, float]:
    """Return what the keys in a line say, each by its quantity; a key that stands there twice counts once.

    >>> read_values("{'loss': '2.31', 'train_speed(s/it)': 0.5}", {"loss": "loss", "train_speed(s/it)": "step_time_s"})
    {'loss': 2.31, 'step_time_s': 0.5}
    """
    fields: dict[str, float] = {}
    for key, quantity in values.items():
        at = text.find(key)
        while at >= 0:
            match = None if _is_inside(text, at) else _VALUE.match(text, at + len(key))
            if match:
                for name, value in QUANTITIES[quantity](match[match.lastindex or 0]).items():
                    fields.setdefault(name, value)
                break
            at = text.find(key, at + 1)
    return fields


def _is_inside(text: str, at: int) -> bool:
    """Return whether a longer word goes on at this place."""
    return at > 0 and (text[at - 1].isalnum() or text[at - 1] in "_/")
