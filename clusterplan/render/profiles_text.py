"""Profiles as text."""

from collections.abc import Mapping

from ..cluster_profiles.profile import ClusterProfile
from ..cluster_profiles.units import format_count, format_duration
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
    types = ", ".join(dict.fromkeys(p.gpu or p.gres or "not stated" for p in profile.partitions))
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
                format_count(p.nodes),
                format_count(p.gpus_per_node),
                p.gpu or "not stated",
                p.gres or "",
                format_duration(p.time_limit) if p.time_limit else "none",
                f"{p.intra_node.kind} {p.intra_node.gb_per_s:g} GB/s" if p.intra_node else "",
                f"{p.inter_node.kind} {p.inter_node.gb_per_s:g} GB/s" if p.inter_node else "",
                "" if p.per_gpu_hour is None else f"{p.per_gpu_hour:g}",
            )
            for p in profile.partitions
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
