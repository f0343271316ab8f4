"""Profiles as JSON; docs/reference/json.md describes every key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cluster_profiles.profile import ClusterProfile


def listing(paths: Mapping[str, Path], profiles: Mapping[str, ClusterProfile | str]) -> list[dict[str, Any]]:
    """One entry a profile; `error` is what is wrong with a broken one."""
    return [
        {"profile": name, "path": str(path), **_checked(profiles[name])}
        for name, path in sorted(paths.items())
    ]


def _checked(profile: ClusterProfile | str) -> dict[str, Any]:
    if isinstance(profile, str):
        return {"gpus": None, "partitions": None, "error": profile}
    return {"gpus": profile.most_gpus, "partitions": len(profile.partitions), "error": None}


def checked(name: str, profile: ClusterProfile, differences: list[str] | None) -> dict[str, Any]:
    """What `profiles check` found; `differences` are None where it was compared with no cluster."""
    return {"profile": name, **_checked(profile), "differences": differences}


def one(profile: ClusterProfile) -> dict[str, Any]:
    """Everything the profile says, under the keys of its file; those without a unit of their own get one."""
    values = profile.model_dump(mode="json")
    for partition in values["partitions"]:
        partition["time_limit_s"] = partition.pop("time_limit")
    return values
