"""`clusterplan profiles`."""

from pathlib import Path

import click

from ..api.profiles import check_profile, discover_profile, list_profiles, show_profile
from ..cluster_profiles.catalog import profile_paths
from .options import echo, echo_result, echo_text, json_option, say


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    return [name for name in sorted(profile_paths()) if name.startswith(incomplete)]


_profile = click.argument("profile", metavar="NAME|PATH", shell_complete=_names)


@click.group()
def profiles() -> None:
    """Show the clusters that clusterplan knows: partitions, limits, GPUs, links."""


@profiles.command("list")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """List the bundled profiles and your own.

    `clusterplan profiles discover` makes one of your own:

        clusterplan profiles list
    """
    echo_result(list_profiles(), as_json=as_json)


@profiles.command()
@_profile
@json_option
def show(profile: str, as_json: bool) -> None:  # noqa: FBT001
    """Show one profile.

    It is a bundled one, one of your own, or a file:

        clusterplan profiles show slurm-a100
    """
    echo_result(show_profile(profile), as_json=as_json)


@profiles.command()
@_profile
@json_option
@click.pass_context
def check(ctx: click.Context, profile: str, as_json: bool) -> None:  # noqa: FBT001
    """Check whether a profile can be used.  If not, print its first fault with the line; exit code 2.

    On a machine with Slurm, a profile of your own is compared with the cluster: a line for each difference, and exit
    code 1.

        clusterplan profiles check slurm-a100
    """
    result = check_profile(profile)
    echo_result(result, as_json=as_json)
    ctx.exit(1 if result.differences else 0)


@profiles.command()
@click.option(
    "--name", help="Name of the profile, kept with your own. Default: Slurm's name of the cluster, not kept."
)
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the profile to this file."
)
def discover(name: str | None, output: Path | None) -> None:
    """Write a profile of this cluster, as Slurm describes it.

    It has the partitions, their limits, nodes and GPUs.  It is printed, or kept under a name.  A file that exists is
    never overwritten.

        clusterplan profiles discover --name lab
    """
    profile = discover_profile(name, output)
    if profile.path is None:
        echo_text(profile.text)
        return
    echo(str(profile.path))
    for note in profile.notes:
        say(note)
