"""`clusterplan completion`, and what completes the names of runs."""

import os
from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class

from ..errors import ClusterplanError
from ..launcher.run_folder.folder import history_path
from ..launcher.run_folder.registry import registered_folders

_VARIABLE = "_CLUSTERPLAN_COMPLETE"  # by which the shell's function asks, as click names it
_MOST = 50  # runs


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the ids of the latest runs that begin so, as a callback of click; no folder is opened."""
    try:
        folders = registered_folders(history_path(os.environ))
    except (ClusterplanError, OSError):
        return []
    return [folder.name for folder in folders if folder.name.startswith(incomplete)][:_MOST]


def complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Leave it to the shell to complete a file, as a callback of click."""
    return [CompletionItem(incomplete, type="file")]


class RunFirst(click.Command):
    """A command whose first word is a run, as long as that is completed: what the command itself needs is not loaded."""

    def __init__(self, name: str, load: Callable[[], click.Command | None]) -> None:
        super().__init__(name, params=[click.Argument(["run"], shell_complete=complete_run)])
        self._load = load

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete an option: the command itself knows them."""
        command = self._load()
        if command is None:
            return []
        with command.make_context(self.name, [], parent=ctx.parent, resilient_parsing=True) as own:
            return command.shell_complete(own, incomplete)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands, options, runs, profiles and files.

    One line installs it, in ~/.bashrc, in ~/.zshrc after `compinit`, or once for fish:

    \b
        eval "$(clusterplan completion bash)"
        eval "$(clusterplan completion zsh)"
        clusterplan completion fish > ~/.config/fish/completions/clusterplan.fish
    """
    from .options import echo_text  # noqa: PLC0415  pages, while a word is completed

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  for the type checker
    echo_text(kind(ctx.find_root().command, {}, "clusterplan", _VARIABLE).source())
