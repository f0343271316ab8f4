"""Profiles as JSON; docs/reference/json.md describes every key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cluster_profiles.profile import ClusterProfile


def profiles_as_dicts(
    paths: Mapping[str, Path], profiles: Mapping[str, ClusterProfile | str]
) -> list[dict[str, Any]]:
    """Return one entry per profile; `error` is the fault of a broken one."""
    return [
        {"profile": name, "path": str(path), **_checked(profiles[name])}
        for name, path in sorted(paths.items())
    ]


def _checked(profile: ClusterProfile | str) -> dict[str, Any]:
    if isinstance(profile, str):
        return {"gpus": None, "partitions": None, "error": profile}
    return {"gpus": profile.most_gpus, "partitions": len(profile.partitions), "error": None}


def check_as_dict(name: str, profile: ClusterProfile, differences: list[str] | None) -> dict[str, Any]:
    """Return the result of `profiles check`; `differences` is None if no cluster was compared."""
    return {"profile": name, **_checked(profile), "differences": differences}


def profile_as_dict(profile: ClusterProfile) -> dict[str, Any]:
    """Return the whole profile under the keys of its file, with a unit in each key that had none."""
    values = profile.model_dump(mode="json")
    for partition in values["partitions"]:
        partition["time_limit_s"] = partition.pop("time_limit")
    return values
