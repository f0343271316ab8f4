"""A sweep: the runs that `--sweep` makes of one job, by the values of its placeholders."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from ...errors import WorkloadError
from ..command.placeholders import placeholder_names

_SWEPT = re.compile(r"([A-Za-z_]\w*)=(.+)")
_COUNTING = re.compile(r"(-?\d+)\.\.(-?\d+)")
_MOST_RUNS = 10_000
_PLACES = ("batch_size", "accumulation", "gpus", "nodes", "precision", "max_steps", "output", "latest")


def parse_sweep(texts: Sequence[str]) -> list[dict[str, str]]:
    """Every combination of the values of each `NAME=A,B` or `NAME=1..5`.  Raises WorkloadError.

    >>> parse_sweep(["lr=1e-3,1e-4", "seed=1..2"])[-1]
    {'lr': '1e-4', 'seed': '2'}
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        match = _SWEPT.fullmatch(text)
        if not match or not all(part.strip() for part in match[2].split(",")):
            raise WorkloadError(f"--sweep: {text!r} is no sweep such as lr=1e-3,1e-4 or seed=1..5")
        name, listed = match[1], [part.strip() for part in match[2].split(",")]
        if name in found or name in _PLACES:
            raise WorkloadError(
                f"--sweep: {name} {'is given twice' if name in found else 'has a meaning already'}"
            )
        if counting := _COUNTING.fullmatch(match[2]):
            first, last = int(counting[1]), int(counting[2])
            if not first <= last < first + _MOST_RUNS:
                raise WorkloadError(f"--sweep: {text!r} must count upwards, at most {_MOST_RUNS:,} values")
            listed = [str(n) for n in range(first, last + 1)]
        found[name] = listed
    if (runs := math.prod(map(len, found.values()))) > _MOST_RUNS:
        raise WorkloadError(f"--sweep: {runs:,} runs are more than {_MOST_RUNS:,}")
    return [dict(zip(found, values, strict=True)) for values in itertools.product(*found.values())]


def check_reached(swept: Sequence[Mapping[str, str]], arguments: Iterable[str]) -> None:
    """That what a sweep changes stands in the command.  Raises WorkloadError.

    >>> check_reached(parse_sweep(["lr=1e-3,1e-4"]), ["train", "--lr={lr}"])
    """
    there = placeholder_names(arguments)
    for name in swept[0] if swept else ():
        if name not in there:
            raise WorkloadError(
                f"--sweep: the command has no placeholder {{{name}}}, so every run would be the same"
            )
