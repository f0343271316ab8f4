"""`clusterplan profiles`."""

import json
from pathlib import Path

import click

from ..cluster_profiles.catalog import BUNDLED, load_profile, profile_path, profile_paths, user_folder
from ..cluster_profiles.profile import ClusterProfile
from ..cluster_profiles.units import plural
from ..errors import InputError, ProfileError, SlurmUnavailable
from ..launcher.slurm import client as slurm
from ..launcher.slurm import discovery
from ..render import profiles_json, profiles_text, profiles_toml
from .options import echo_page, json_option, say


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
        click.echo(json.dumps(profiles_json.profiles_as_dicts(profile_paths(), known), indent=2))
        return
    echo_page(lambda page: profiles_text.write_profiles(page, known))


@profiles.command()
@_profile
@json_option
def show(profile: str, as_json: bool) -> None:  # noqa: FBT001
    """What one profile says."""
    found = load_profile(profile)
    if as_json:
        click.echo(json.dumps(profiles_json.profile_as_dict(found), indent=2))
        return
    echo_page(lambda page: profiles_text.write_profile(page, found))


@profiles.command()
@_profile
@json_option
@click.pass_context
def check(ctx: click.Context, profile: str, as_json: bool) -> None:  # noqa: FBT001
    """Whether a profile can be used.  If not, its first fault with the line, and exit code 2.

    Where Slurm is, a profile of your own is compared with the cluster: a line for each difference, and exit code 1.
    """
    found = load_profile(profile)
    differences = _differences(profile, found)
    if as_json:
        click.echo(json.dumps(profiles_json.check_as_dict(profile, found, differences), indent=2))
    else:
        state = "differs from the cluster" if differences else "fine"
        click.echo(
            f"{profile}: {state}, {plural(len(found.partitions), 'partition')}, at most {plural(found.most_gpus, 'GPU')} in one"
        )
        for line in differences or ():
            click.echo(line)
    ctx.exit(1 if differences else 0)


@profiles.command()
@click.option(
    "--name", help="What to call it; else as Slurm calls the cluster.  Kept with your own profiles."
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there instead.")
def discover(name: str | None, output: Path | None) -> None:
    """A profile of this cluster, from what Slurm says.  That is its partitions, limits, nodes and GPUs.

    It is printed, or kept under a name.  A file that exists is never overwritten.
    """
    found = discovery.discover(slurm.read_cluster(), name)
    text = profiles_toml.profile_as_toml(found.profile, found.notes)
    if name and ("/" in name or name.endswith(".toml")):
        raise ProfileError(f"--name: {name!r} is a path; give a word, or --output with a path")
    path = output or (user_folder() / f"{name}.toml" if name else None)
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        if output is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ProfileError(f"{path}: exists already; remove it, or choose another name") from None
    except OSError as error:
        raise ProfileError(f"{path}: cannot be written: {error.strerror}") from None
    click.echo(path)
    for note in found.notes:
        say(note)


def _differences(name: str, profile: ClusterProfile) -> list[str] | None:
    """How the profile differs from the cluster here; None where there is nothing to compare."""
    if profile_path(name).resolve().parent == BUNDLED.resolve() or not slurm.is_available():
        return None  # a bundled one is of no cluster
    try:
        return discovery.differences(profile, slurm.read_cluster())
    except SlurmUnavailable as error:
        say(f"not compared with the cluster: {error}")
        return None


def _loaded(path: Path) -> ClusterProfile | str:
    try:
        return load_profile(str(path))
    except InputError as error:
        return str(error)
