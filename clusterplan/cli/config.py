"""`clusterplan config`."""

import click

from ..api.configuration import show_configuration
from .options import echo_result, json_option


@click.group()
def config() -> None:
    """Show the settings of this site and of yours."""


@config.command()
@json_option
def show(as_json: bool) -> None:  # noqa: FBT001
    """Show every setting, its value, and the file or variable that it comes from.

    Settings are in config.toml: a site's in /etc/xdg/clusterplan/, yours in ~/.config/clusterplan/, which wins.  A flag,
    a job file and a variable win over both.

        clusterplan config show
    """
    echo_result(show_configuration(), as_json=as_json)
