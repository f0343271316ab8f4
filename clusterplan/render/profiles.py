"""Profiles as text, as JSON (docs/reference/json.md describes every key) and as the TOML file that holds one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cluster_profiles.files.toml_file import Section
from ..cluster_profiles.profile import ClusterProfile
from ..cluster_profiles.units import format_count, format_duration, plural, slurm_time
from ..cluster_profiles.visible_text import show_controls, toml_escapes
from .layout import Page, Style


def write_profiles(page: Page, profiles: Mapping[str, ClusterProfile | str]) -> None:
    """Write one row per profile, with the fault of a broken one."""
    page.table(
        ("profile", "most GPUs", "type", "longest job", "description"),
        [_row(name, profile) for name, profile in sorted(profiles.items())],
        right=(1,),
    )


def _row(name: str, profile: ClusterProfile | str) -> tuple[str, ...]:
    if isinstance(profile, str):
        return name, "", "", "", f"broken: {profile}"
    groups = [group for partition in profile.partitions for group in partition.groups]
    types = ", ".join(dict.fromkeys(group.type_name or "not stated" for group in groups))
    limits = [p.time_limit for p in profile.partitions]
    longest = "no limit" if None in limits else format_duration(max(limit for limit in limits if limit))
    return name, format_count(profile.most_gpus), types, longest, profile.description


def write_profile(page: Page, profile: ClusterProfile) -> None:
    """Write the whole profile."""
    default = profile.partition().name
    page.sentence(
        f"{profile.name}: {profile.description}" if profile.description else profile.name, Style.BOLD
    )
    page.line()
    page.table(
        (
            "partition",
            "nodes",
            "GPUs/node",
            "GPU",
            "GRES",
            "time limit",
            "inside a node",
            "between nodes",
            "GPU-hour",
        ),
        [
            (
                f"{p.name} (default)" if p.name == default else p.name,
                format_count(group.nodes),
                format_count(group.gpus_per_node),
                group.type_name or "not stated",
                group.gres or "",
                format_duration(p.time_limit) if p.time_limit else "none",
                f"{group.intra_node.kind} {group.intra_node.gb_per_s:g} GB/s" if group.intra_node else "",
                f"{group.inter_node.kind} {group.inter_node.gb_per_s:g} GB/s" if group.inter_node else "",
                "" if group.per_gpu_hour is None else f"{group.per_gpu_hour:g}",
            )
            for p in profile.partitions
            for group in p.groups
        ],
        right=(1, 2),
        first_to_go=("between nodes", "inside a node", "GRES"),
    )
    page.line()
    rates, rows = profile.rates, []
    rows.append(("shared folders", ", ".join(profile.shared_folders) or "not stated", ""))
    rows.append(
        ("rates", "not stated" if rates is None else f"{rates.currency}, of {rates.date.isoformat()}", "")
    )
    if rates:
        for name, value, unit in (
            ("GPU-hour", rates.per_gpu_hour, rates.currency),
            ("energy", rates.per_kwh, f"{rates.currency}/kWh"),
            ("carbon", rates.gco2_per_kwh, "g CO2/kWh"),
            ("PUE", rates.pue, ""),
        ):
            if value is not None:
                rows.append((f"  {name}", f"{value:g} {unit}".strip(), ""))
    if profile.node_failures_per_1000_days is not None:
        rows.append(("failures", f"{profile.node_failures_per_1000_days:g} per 1,000 node-days", ""))
    page.facts(rows)


def write_check(page: Page, name: str, profile: ClusterProfile, differences: Sequence[str] | None) -> None:
    """Write whether a profile can be used, and each difference from the cluster."""
    state = "differs from the cluster" if differences else "fine"
    partitions, gpus = plural(len(profile.partitions), "partition"), plural(profile.most_gpus, "GPU")
    page.line(f"{name}: {state}, {partitions}, at most {gpus} in one")
    for line in differences or ():
        page.line(line)


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


def check_as_dict(name: str, profile: ClusterProfile, differences: Sequence[str] | None) -> dict[str, Any]:
    """Return the result of `profiles check`; `differences` is None if no cluster was compared."""
    return {
        "profile": name,
        **_checked(profile),
        "differences": None if differences is None else list(differences),
    }


def profile_as_dict(profile: ClusterProfile) -> dict[str, Any]:
    """Return the whole profile under the keys of its file, with a unit in each key that had none."""
    values = profile.model_dump(mode="json")
    for partition in values["partitions"]:
        partition["time_limit_s"] = partition.pop("time_limit")
    return values


def profile_as_toml(profile: ClusterProfile, notes: Sequence[str]) -> str:
    r"""Return the file of a profile without rates or links, with `notes` as comments.

    >>> from clusterplan.cluster_profiles.profile import Partition
    >>> profile_as_toml(ClusterProfile(name="a", partitions=(Partition(name="p", nodes=1, gpus_per_node=8),)), ["so"])
    '# so\n\nname = "a"\n\n[[partitions]]\nname = "p"\nnodes = 1\ngpus_per_node = 8\n'
    """
    lines = [*(f"# {show_controls(note)}" for note in notes), "", *_keys(profile)]
    for partition in profile.partitions:
        lines += ["", "[[partitions]]", *_keys(partition)]
        for group in partition.other_gpus:
            lines += ["", "[[partitions.other_gpus]]", *_keys(group)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _keys(table: Section) -> Iterator[str]:
    for key in type(table).model_fields:
        value = getattr(table, key)
        if key in table.model_fields_set and key not in ("partitions", "other_gpus") and value is not None:
            # A JSON string, number, list or boolean is one of TOML too.
            text = json.dumps(slurm_time(value) if key == "time_limit" else value, ensure_ascii=False)
            yield f"{key} = {toml_escapes(text)}"
