"""A workload from a job file and flags; what a flag says wins over the file."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...cluster_profiles.catalog import load_profile
from ...cluster_profiles.toml_file import locate, parse_toml, read_toml, validate
from ...errors import WorkloadError
from .given import STATED_RATES
from .placement import place
from .training import Training
from .workload import Workload, list_flags, nest_values

# Of each of these only one may be set, so a flag that sets one takes the file's others away.
_ALTERNATIVES = {"data": ("samples", "tokens"), "throughput": STATED_RATES}
_BELONGS = {"tokens": ("packing",)}
_FLAG_AT = {place: flag for flag, place, _ in list_flags()}


def load_workload(
    path: Path | None, flagged: Mapping[str, Any] | None = None, assumed: Mapping[str, Any] | None = None
) -> Workload:
    """The workload in the file at `path`, with `flagged` values (by their flags' names) on top.

    `assumed` values, named alike, stand where neither says anything.  A rate in the file is tied to the shape
    in the file, a rate in the flags to the shape in the flags, each completed by the other.  Raises WorkloadError
    with one line that names the flag, or the file, line and key, that is wrong.
    """
    over, under = nest_values(flagged or {}), nest_values(assumed or {})
    text = read_toml(path) if path else ""
    filed = parse_toml(text, path) if path else {}
    asked = _merged(under, over)
    values = _merged(_merged(under, filed), over)

    def place_of(location: tuple[int | str, ...]) -> str:
        flag = _FLAG_AT.get(tuple(str(part) for part in location[:2]))
        if (
            flag
            and (path is None or _has(asked, location))
            and not (_has(filed, location) and not _has(over, location))
        ):
            return f"{flag}: "
        return locate(text, path, location) if path else ""

    whole = validate(Workload, values, place_of, WorkloadError)
    if (
        not filed
        or not (flagged or assumed)
        or all(getattr(whole.throughput, rate) is None for rate in STATED_RATES)
    ):
        return whole  # the rate belongs to this shape
    in_flags = any(rate in over.get("throughput", {}) for rate in STATED_RATES)
    own = _merged(filed, asked) if in_flags else _merged(_needed(asked), filed)
    measured = _placed(validate(Workload, own, place_of, WorkloadError), whole)
    return whole.model_copy(update={"throughput": measured.with_rate_tied().throughput})


def _needed(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What flags may add to the shape of a file's rate: only what has no default."""
    training = {
        key: value for key, value in asked["training"].items() if Training.model_fields[key].is_required()
    }
    return {
        **{table: asked[table] for table in ("data", "architecture") if table in asked},
        "training": training,
    }


def _placed(measured: Workload, whole: Workload) -> Workload:
    """`measured` with its GPU type and nodes written out, where `whole` may run on others."""
    cluster = measured.cluster
    if cluster == whole.cluster or cluster.profile is None:
        return measured
    there = place(measured, load_profile(cluster.profile))
    known = {"gpu": there.gpu.key if there.gpu else None, "nodes": there.nodes}
    return measured.model_copy(update={"cluster": cluster.model_copy(update=known)})


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` on top of `below`, table by table; neither is changed."""
    values = copy.deepcopy(dict(below))
    for table, content in above.items():
        if table in values and isinstance(content, Mapping) and not content:
            continue
        inner = values.get(table)
        if not isinstance(content, Mapping) or not isinstance(inner, dict):
            values[table] = copy.deepcopy(content)  # a value where a table belongs: validation says so
            continue
        either = _ALTERNATIVES.get(table, ())
        if any(name in content for name in either):
            if table == "throughput":
                inner.clear()  # its shape and spread belonged to the rate that is replaced
            for name in either:
                for gone in (name, *_BELONGS.get(name, ())):
                    inner.pop(gone, None)
        inner.update(copy.deepcopy(content))
    return values


def _has(values: Mapping[str, Any], location: tuple[int | str, ...]) -> bool:
    inner: Any = values
    for part in location:
        if not isinstance(inner, Mapping) or part not in inner:
            return False
        inner = inner[part]
    return True
