"""A sweep: the runs that `--sweep` makes of one job, by the values of its placeholders."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from ...errors import WorkloadError
from ..command.placeholders import LATEST, OUTPUT, placeholder_names

Sweep = tuple[Mapping[str, str], ...]  # the values of each run by the name of their placeholder
NO_SWEEP: Sweep = ({},)  # one run

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.+)", re.DOTALL)
_COUNTING = re.compile(r"(-?\d+)\.\.(-?\d+)")
_NO_COUNTING = re.compile(r"(?!-?\d+\.\.-?\d+$)-?[\d.e-]*\d\.\.-?[\d.][\d.e-]*")  # 0.1..0.5, 1..10..2
_EXAMPLE = "lr=1e-3,1e-4 or seed=1..5"
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_QUOTES = "'\""
_QUOTE_IT = """for the character alone, put quotes around its value: name='a)',b"""
_MOST_RUNS = 10_000
_RESERVED = ("batch_size", "accumulation", "gpus", "nodes", "precision", "max_steps", OUTPUT, LATEST)


def parse_sweep(texts: Sequence[str]) -> Sweep:
    """Return every combination of the values of each `NAME=A,B` or `NAME=1..5`.  Raises WorkloadError.

    A comma inside brackets or quotes, or behind a backslash, belongs to its value; quotes around a whole value are taken off.

    >>> parse_sweep(["lr=1e-3,1e-4", "seed=1..2"])[-1]
    {'lr': '1e-4', 'seed': '2'}
    >>> [run["betas"] for run in parse_sweep(["betas=[0.9,0.95],[0.9,0.99]"])]
    ['[0.9,0.95]', '[0.9,0.99]']
    """
    values_by_name: dict[str, list[str]] = {}
    for text in texts:
        match = _ASSIGNMENT.fullmatch(text)
        if not match:
            raise WorkloadError(f"--sweep: {text!r} is no sweep such as {_EXAMPLE}{_why_no_name(text)}")
        parts = _split_values(match[2])
        if not all(parts):
            raise WorkloadError(f"--sweep: {text!r} has a comma without a value beside it")
        name, values = match[1], [_without_quotes(part) for part in parts]
        if _NO_COUNTING.fullmatch(match[2]):
            raise WorkloadError(
                f"--sweep: {text!r} counts no whole numbers one by one, as 1..5 does: list its values"
            )
        if name in values_by_name:
            raise WorkloadError(f"--sweep: {name} is given twice")
        if counting := _COUNTING.fullmatch(match[2]):
            first, last = int(counting[1]), int(counting[2])
            if not first <= last < first + _MOST_RUNS:
                raise WorkloadError(f"--sweep: {text!r} must count upwards, at most {_MOST_RUNS:,} values")
            values = [str(n) for n in range(first, last + 1)]
        values_by_name[name] = values
    return combine_values(values_by_name)


def _split_values(text: str) -> list[str]:
    """Return the values between the commas that are outside brackets and quotes.  Raises WorkloadError."""
    values, start = list[str](), 0
    awaited = list[str]()  # what closes each bracket or quote that is open
    for at, character in enumerate(text):
        if character == "," and text[at - 1 : at] == "\\":
            continue
        if awaited and character == awaited[-1]:
            awaited.pop()
        elif awaited and awaited[-1] in _QUOTES:
            continue
        elif character in _CLOSING:
            awaited.append(_CLOSING[character])
        elif character in _QUOTES and not text[at - 1 : at].isalnum():  # not the apostrophe of a word
            awaited.append(character)
        elif character in _CLOSING.values():
            raise WorkloadError(f"--sweep: {text!r} has a {character} that closes nothing: {_QUOTE_IT}")
        elif character == "," and not awaited:
            values.append(text[start:at])
            start = at + 1
    if awaited:
        raise WorkloadError(f"--sweep: {text!r} lacks a {awaited[-1]} at its end: {_QUOTE_IT}")
    return [value.strip().replace("\\,", ",") for value in (*values, text[start:])]


def _why_no_name(text: str) -> str:
    name, _, values = text.partition("=")
    plain = re.sub(r"\W+", "_", name).strip("_")
    if not values or not plain or plain == name:
        return ""
    return f": its name is that of a placeholder: --sweep {plain}={values}, and {name}={{{plain}}} in the command"


def _without_quotes(value: str) -> str:
    quote = value[0]
    is_whole = len(value) > 1 and quote in _QUOTES and value.find(quote, 1) == len(value) - 1
    return value[1:-1] if is_whole else value


def combine_values(values_by_name: Mapping[str, Iterable[object]]) -> Sweep:
    """Return every combination of the values of each placeholder.  Raises WorkloadError.

    >>> combine_values({"lr": [1e-3, 1e-4], "seed": range(1, 3)})[-1]
    {'lr': '0.0001', 'seed': '2'}
    """
    for name, listed in values_by_name.items():
        if isinstance(listed, str) or not isinstance(listed, Iterable):
            raise WorkloadError(f"--sweep: {name} is {listed!r}: give a list of its values")
    texts = {name: [str(value) for value in values] for name, values in values_by_name.items()}
    for name, values in texts.items():
        if name in _RESERVED or not values:
            fault = "has a meaning already" if name in _RESERVED else "has no values"
            raise WorkloadError(f"--sweep: {name} {fault}")
    if (runs := math.prod(map(len, texts.values()))) > _MOST_RUNS:
        raise WorkloadError(f"--sweep: {runs:,} runs are more than {_MOST_RUNS:,}")
    return tuple(dict(zip(texts, values, strict=True)) for values in itertools.product(*texts.values()))


def check_sweep_reaches(sweep: Sweep, arguments: Iterable[str]) -> None:
    """Raise WorkloadError unless every placeholder that a sweep changes stands in the command.

    >>> check_sweep_reaches(parse_sweep(["lr=1e-3,1e-4"]), ["train", "--lr={lr}"])
    """
    names = placeholder_names(arguments)
    for name in sweep[0]:
        if name not in names:
            raise WorkloadError(
                f"--sweep: the command has no placeholder {{{name}}}, so every run would be the same"
            )
