"""`clusterplan profiles`."""

import json
from pathlib import Path

import click

from ..cluster_profiles.catalog import load_profile, profile_paths
from ..cluster_profiles.profile import ClusterProfile
from ..cluster_profiles.units import counted
from ..errors import InputError
from ..report import profiles_json, profiles_text
from .options import echo_page, json_option


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    return [name for name in sorted(profile_paths()) if name.startswith(incomplete)]


_profile = click.argument("profile", metavar="NAME|PATH", shell_complete=_names)


@click.group()
def profiles() -> None:
    """Clusters clusterplan knows: partitions, limits, GPUs, links."""


@profiles.command("list")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """Every profile that has a name, the bundled ones and your own."""
    known = {name: _loaded(path) for name, path in profile_paths().items()}
    if as_json:
        click.echo(json.dumps(profiles_json.listing(profile_paths(), known), indent=2))
        return
    echo_page(lambda page: profiles_text.listing(page, known))


@profiles.command()
@_profile
@json_option
def show(profile: str, as_json: bool) -> None:  # noqa: FBT001
    """What one profile says."""
    found = load_profile(profile)
    if as_json:
        click.echo(json.dumps(profiles_json.one(found), indent=2))
        return
    echo_page(lambda page: profiles_text.one(page, found))


@profiles.command()
@_profile
@json_option
def check(profile: str, as_json: bool) -> None:  # noqa: FBT001
    """Whether a profile can be used; if not, its first fault with the line, and exit code 2."""
    found = load_profile(profile)
    if as_json:
        click.echo(json.dumps(profiles_json.checked(profile, found), indent=2))
        return
    gpus = sum(p.nodes * p.gpus_per_node for p in found.partitions)
    click.echo(f"{profile}: fine, {counted(len(found.partitions), 'partition')}, {counted(gpus, 'GPU')}")


def _loaded(path: Path) -> ClusterProfile | str:
    try:
        return load_profile(str(path))
    except InputError as error:
        return str(error)
