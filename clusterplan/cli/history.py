"""`clusterplan history`."""

import json
import os
from pathlib import Path

import click

from ..api.history.accuracy import history_accuracy
from ..api.history.comparison import history_compare
from ..api.history.runs import list_runs, show_run
from ..api.history.upkeep import check_history, import_runs, rebuild_history
from ..api.history.upkeep import prune as prune_history
from ..api.history.upkeep import vacuum as vacuum_history
from ..errors import InputError
from ..launcher.run_folder.folder import history_path
from .completion import complete_run
from .history_add import add, remove
from .history_export import export
from .options import echo, echo_result, json_option, show_collecting, utf8_text


@click.group()
def history() -> None:
    """Look at past runs, in one SQLite file that any tool can read."""


history.add_command(add)
history.add_command(export)
history.add_command(remove)


@history.command()
@json_option
def path(as_json: bool) -> None:  # noqa: FBT001
    """Print the path of the history file.

    Any program for SQLite opens it:

        sqlite3 "$(clusterplan history path)"
    """
    file = history_path(os.environ)
    echo(json.dumps({"path": str(file)}) if as_json else str(file))


@history.command("list")
@click.option("--name", metavar="TEXT", callback=utf8_text, help="Only runs whose name contains this.")
@click.option(
    "--model", metavar="TEXT", callback=utf8_text, help="Only runs of models whose name contains this."
)
@click.option("--gpu", metavar="TEXT", callback=utf8_text, help="Only runs on GPUs whose type contains this.")
@click.option(
    "--since", metavar="TIME", help="Only runs that began within this time, such as 7d, or since a date."
)
@click.option(
    "--until", metavar="TIME", help="Only runs that began longer ago than this time, or before a date."
)
@json_option
def list_(
    name: str | None,
    model: str | None,
    gpu: str | None,
    since: str | None,
    until: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """List runs, the latest first.

    Each filter leaves out runs:

        clusterplan history list --model phi2 --since 7d
    """
    with show_collecting() as progress:
        runs = list_runs(name=name, model=model, gpu=gpu, since=since, until=until, progress=progress)
    echo_result(runs, as_json=as_json)


@history.command()
@click.argument("run", required=False, shell_complete=complete_run)
@json_option
def show(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show the GPUs, events and measured step times of a run.

    RUN is an id or its beginning.  Default: the latest run.

        clusterplan history show train-2026
    """
    with show_collecting() as progress:
        recorded = show_run(run, progress=progress)
    echo_result(recorded, as_json=as_json)


@history.command()
@click.option(
    "--model", metavar="TEXT", callback=utf8_text, help="Only runs of models whose name contains this."
)
@json_option
def accuracy(model: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show how good the estimates of ended runs were.

    The error of step times and wall-clocks, how many were in range, and whether the walltime was enough: by the source
    of the estimate, and over time.

        clusterplan history accuracy --model phi2
    """
    with show_collecting() as progress:
        result = history_accuracy(model, progress=progress)
    echo_result(result, as_json=as_json)


@history.command()
@click.argument("first", shell_complete=complete_run)
@click.argument("second", shell_complete=complete_run)
@json_option
def compare(first: str, second: str, as_json: bool) -> None:  # noqa: FBT001
    """Show two runs side by side.

    It says which is faster, whether that is more than chance, and what differs.

    FIRST and SECOND are ids or their beginnings.

        clusterplan history compare train-20261128 train-20261129
    """
    with show_collecting() as progress:
        result = history_compare(first, second, progress=progress)
    echo_result(result, as_json=as_json)


@history.command()
@json_option
def check(as_json: bool) -> None:  # noqa: FBT001
    """Check the history file.  If it is damaged, say what can be saved, with exit code 1.

    The file is only read.

        clusterplan history check
    """
    result = check_history()
    echo_result(result, as_json=as_json)
    _fail(result.failure)


@history.command()
@click.option(
    "--keep", metavar="TIME", default="14d", show_default=True, help="Keep raw readings younger than this."
)
@json_option
def prune(keep: str, as_json: bool) -> None:  # noqa: FBT001
    """Delete raw readings of ended runs.

    Sums, rollups, events and notes stay for ever.

        clusterplan history prune --keep 30d
    """
    with show_collecting() as progress:
        pruned = prune_history(keep, progress=progress)
    echo_result(pruned, as_json=as_json, indent=None)


@history.command()
@json_option
def vacuum(as_json: bool) -> None:  # noqa: FBT001
    """Give the space of deleted readings back to the disk.

    SQLite writes the file anew for that:

        clusterplan history vacuum
    """
    echo_result(vacuum_history(), as_json=as_json, indent=None)


@history.command("import")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--rebuild", "anew", is_flag=True, help="Make a new history of all registered runs, beside the old one."
)
@json_option
def import_(folders: tuple[Path, ...], anew: bool, as_json: bool) -> None:  # noqa: FBT001
    """Read run folders into the history.  Default: the folders of all registered runs.

    Importing a folder twice changes nothing.  A run that goes on can be imported again later.

        clusterplan history import runs/*
    """
    if anew and folders:
        raise InputError("--rebuild reads the folders of all registered runs: leave FOLDERS out")
    with show_collecting() as progress:
        result = rebuild_history(progress=progress) if anew else import_runs(folders, progress=progress)
    echo_result(result, as_json=as_json)
    _fail(result.failure)


def _fail(failure: str | None) -> None:
    if failure:
        raise click.ClickException(failure)
