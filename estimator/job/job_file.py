"""A workload from a job file and flags; a flag wins over the file."""

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

# Only one key of each may be set, so that a flag that sets one removes the others of the file.
_ALTERNATIVES = {
    "data": (("samples", "tokens"),),
    "training": (("global_batch", "global_batch_tokens"), ("batch_size", "batch_tokens")),
    "throughput": (STATED_RATES,),
}
# These are removed with it: they said how it is made up.
_DEPENDENTS = {"tokens": ("packing",), "global_batch": ("accumulation",)}
_FLAG_AT = {place: flag for flag, place, _ in list_flags()}


def load_workload(
    path: Path | None, flags: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Workload:
    """Return the workload in the file at `path`, with the values of `flags` on top.

    `defaults` hold where neither sets a value; both are named as flags are.  A rate in the file is tied to the shape
    in the file, a rate in the flags to the shape in the flags, each completed by the other.  Raises WorkloadError with
    one line that names the wrong flag, or the file, line and key.
    """
    above, below = nest_values(flags or {}), nest_values(defaults or {})
    text = read_toml(path) if path else ""
    in_file = parse_toml(text, path) if path else {}
    in_flags = _merge(below, above)
    values = _merge(_merge(below, in_file), above)

    def place_of(location: tuple[int | str, ...]) -> str:
        flag = _FLAG_AT.get(tuple(str(part) for part in location[:2]))
        if (
            flag
            and (path is None or _has(in_flags, location))
            and not (_has(in_file, location) and not _has(above, location))
        ):
            return f"{flag}: "
        return locate(text, path, location) if path else ""

    workload = validate(Workload, values, place_of, WorkloadError)
    if (
        not in_file
        or not (flags or defaults)
        or all(getattr(workload.throughput, rate) is None for rate in STATED_RATES)
    ):
        return workload  # the rate belongs to this shape
    rate_in_flags = any(rate in above.get("throughput", {}) for rate in STATED_RATES)
    of_rate = _merge(in_file, in_flags) if rate_in_flags else _merge(_required(in_flags), in_file)
    rate_workload = _placed(validate(Workload, of_rate, place_of, WorkloadError), workload)
    return workload.model_copy(update={"throughput": rate_workload.with_rate_tied().throughput})


def _required(in_flags: Mapping[str, Any]) -> dict[str, Any]:
    """The values of flags that may complete the shape of a file's rate: only those without a default, and the length."""
    training = {
        key: value
        for key, value in in_flags["training"].items()
        if Training.model_fields[key].is_required() or key == "max_steps"
    }
    return {
        **{table: in_flags[table] for table in ("data", "architecture") if table in in_flags},
        "training": training,
    }


def _placed(rate_workload: Workload, workload: Workload) -> Workload:
    """`rate_workload` with its GPU type and nodes written out, if `workload` may run on others."""
    cluster = rate_workload.cluster
    if cluster == workload.cluster or cluster.profile is None:
        return rate_workload
    placement = place(rate_workload, load_profile(cluster.profile))
    machines = {"gpu": placement.gpu_type, "nodes": placement.nodes}
    return rate_workload.model_copy(update={"cluster": cluster.model_copy(update=machines)})


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` on top of `below`, table by table; neither is changed."""
    values = copy.deepcopy(dict(below))
    for table, content in above.items():
        if table in values and isinstance(content, Mapping) and not content:
            continue
        inner = values.get(table)
        if not isinstance(content, Mapping) or not isinstance(inner, dict):
            values[table] = copy.deepcopy(content)  # a value where a table belongs: validation says so
            continue
        for alternatives in _ALTERNATIVES.get(table, ()):
            if not any(name in content for name in alternatives):
                continue
            if table == "throughput":
                inner.clear()  # its shape and spread belonged to the rate that is replaced
            for name in alternatives:
                for key in (name, *_DEPENDENTS.get(name, ())):
                    inner.pop(key, None)
        inner.update(copy.deepcopy(content))
    return values


def _has(values: Mapping[str, Any], location: tuple[int | str, ...]) -> bool:
    inner: Any = values
    for part in location:
        if not isinstance(inner, Mapping) or part not in inner:
            return False
        inner = inner[part]
    return True
