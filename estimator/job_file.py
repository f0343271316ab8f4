"""A workload from a job file and flags; what a flag says wins over the file."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cluster_profiles.precision import Precision
from ..cluster_profiles.toml_file import parse_toml, place_in, read_toml, validated
from ..errors import WorkloadError
from .workload import RATES, Workload, flags, nested

# Of each of these only one may be set, so a flag that sets one takes the file's others away.
_ALTERNATIVES = {"data": ("samples", "tokens"), "throughput": RATES}
_SHAPE = ("gpus", "batch_size", "accumulation", "precision")


def load_workload(
    path: Path | None, flagged: Mapping[str, Any] | None = None, assumed: Mapping[str, Any] | None = None
) -> Workload:
    """The workload in the file at `path`, with `flagged` values (by their flags' names) on top.

    `assumed` values, named alike, stand where neither says anything.
    A throughput in the file stays tied to the shape in the file.  Raises WorkloadError with one line that
    names the flag, or the file, line and key, that is wrong.
    """
    over, under = nested(flagged or {}), nested(assumed or {})
    text = read_toml(path) if path else ""
    filed = parse_toml(text, path) if path else {}
    values = _merged(filed, over)
    for table, content in under.items():
        if isinstance(values[table], dict):
            values[table] = {**content, **values[table]}

    def place(location: tuple[int | str, ...]) -> str:
        flag = _FLAG_AT.get(tuple(str(part) for part in location[:2]))
        if flag and (
            path is None or (not _has(filed, location) and _has(values, location)) or _has(over, location)
        ):
            return f"{flag}: "
        return place_in(text, path, location) if path else ""

    return validated(Workload, values, place, WorkloadError)


_FLAG_AT = {place: flag for flag, place, _ in flags()}


def _merged(filed: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `filed`; neither is changed."""
    values = copy.deepcopy(filed)
    rate, training = values.get("throughput"), values.get("training")
    if isinstance(rate, dict) and isinstance(training, dict) and any(name in rate for name in RATES):
        shape = {"precision": Precision.AUTO.value} | {
            key: training[key] for key in _SHAPE if key in training
        }
        values["throughput"] = shape | rate
    for table, content in over.items():
        if not isinstance(content, Mapping):
            values[table] = content
            continue
        filed_table = values.setdefault(table, {})
        if not isinstance(filed_table, dict):
            continue  # the file has a value where a table belongs: validation says so
        either = _ALTERNATIVES.get(table, ())
        if any(name in content for name in either):
            if table == "throughput":
                filed_table.clear()  # its shape and spread belonged to the file's own rate
            for name in either:
                filed_table.pop(name, None)
        filed_table.update(content)
    return values


def _has(values: Mapping[str, Any], location: tuple[int | str, ...]) -> bool:
    inner: Any = values
    for part in location:
        if not isinstance(inner, Mapping) or part not in inner:
            return False
        inner = inner[part]
    return True
