"""Options that several commands have: where a job runs, and those that stand for keys of [run] and [slurm]."""

from collections.abc import Callable
from typing import Any

import click

from ..estimator.job.framework import Bootstrap

executor_option = click.option(
    "--executor",
    type=click.Choice(["slurm", "local"]),
    help="Default: Slurm if sbatch is found, otherwise this machine.",
)
_SWITCHES = {"true": True, "false": False}
_OPTIONS = (
    click.option(
        "--slurm",
        "slurm",
        multiple=True,
        metavar="KEY[=VALUE]",
        help="Another option of sbatch, such as account=lab or exclusive.",
    ),
    click.option(
        "--bootstrap",
        type=click.Choice([str(way) for way in Bootstrap]),
        help="What starts the processes of a node. Default: what the command needs.",
    ),
    click.option(
        "--resume-args",
        default="",
        metavar="TEXT",
        help="Arguments to add to the command where a checkpoint exists, such as '--resume {latest}'.",
    ),
    click.option("--container", metavar="IMAGE", help="Image of a container to run the command in."),
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, as a decorator of click."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def slurm_options(words: tuple[str, ...]) -> dict[str, str | bool]:
    """Return the values of --slurm, as the table [slurm] has them."""
    pairs = (word.partition("=") for word in words)
    return {key: _SWITCHES.get(value, value) if equals else True for key, equals, value in pairs}
