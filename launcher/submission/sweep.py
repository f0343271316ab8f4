"""A sweep: the runs that `--sweep` makes of one job, by the values of its placeholders."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from ...errors import WorkloadError
from ..command.placeholders import LATEST, OUTPUT, placeholder_names

Sweep = tuple[Mapping[str, str], ...]  # the values of each run by the name of their placeholder
NO_SWEEP: Sweep = ({},)  # one run

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.+)")
_COUNTING = re.compile(r"(-?\d+)\.\.(-?\d+)")
_MOST_RUNS = 10_000
_RESERVED = ("batch_size", "accumulation", "gpus", "nodes", "precision", "max_steps", OUTPUT, LATEST)


def parse_sweep(texts: Sequence[str]) -> Sweep:
    """Return every combination of the values of each `NAME=A,B` or `NAME=1..5`.  Raises WorkloadError.

    >>> parse_sweep(["lr=1e-3,1e-4", "seed=1..2"])[-1]
    {'lr': '1e-4', 'seed': '2'}
    """
    values_by_name: dict[str, list[str]] = {}
    for text in texts:
        match = _ASSIGNMENT.fullmatch(text)
        if not match or not all(part.strip() for part in match[2].split(",")):
            raise WorkloadError(f"--sweep: {text!r} is no sweep such as lr=1e-3,1e-4 or seed=1..5")
        name, values = match[1], [part.strip() for part in match[2].split(",")]
        if name in values_by_name:
            raise WorkloadError(f"--sweep: {name} is given twice")
        if counting := _COUNTING.fullmatch(match[2]):
            first, last = int(counting[1]), int(counting[2])
            if not first <= last < first + _MOST_RUNS:
                raise WorkloadError(f"--sweep: {text!r} must count upwards, at most {_MOST_RUNS:,} values")
            values = [str(n) for n in range(first, last + 1)]
        values_by_name[name] = values
    return combine_values(values_by_name)


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
