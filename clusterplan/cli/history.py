"""`clusterplan history`."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from ..cluster_profiles.units import parse_duration_s, plural
from ..errors import InputError
from ..estimator.history.runs import History
from ..launcher.run_folder.folder import RUN_FILE, history_path
from ..launcher.runs.collect import folders_of_history
from ..launcher.runs.measurement import as_json as measurement
from ..render import history_text
from .history_add import add, remove
from .history_check import check, rebuild
from .history_export import export
from .open_history import collect_runs, find_run, open_history
from .options import echo_page, json_option, utf8_text


@click.group()
def history() -> None:
    """Look at past runs, in one SQLite file that any tool can read."""


history.add_command(add)
history.add_command(check)
history.add_command(export)
history.add_command(remove)


@history.command()
@json_option
def path(as_json: bool) -> None:  # noqa: FBT001
    """Print the path of the history file."""
    file = history_path(os.environ)
    click.echo(json.dumps({"path": str(file)}) if as_json else file)


@history.command("list")
@click.option("--name", metavar="TEXT", callback=utf8_text, help="Only runs whose name contains this.")
@click.option(
    "--model", metavar="TEXT", callback=utf8_text, help="Only runs of models whose name contains this."
)
@click.option("--gpu", metavar="TEXT", callback=utf8_text, help="Only runs on GPUs whose type contains this.")
@click.option(
    "--since", metavar="TIME", help="Only runs that began within this time, such as 7d, or since a date."
)
@click.option("--until", metavar="TIME", help="Only runs that began longer ago than this, or before a date.")
@json_option
def list_(
    name: str | None,
    model: str | None,
    gpu: str | None,
    since: str | None,
    until: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """List runs, the latest first."""
    since_s = None if since is None else _moment_s("--since", since)
    until_s = None if until is None else _moment_s("--until", until)
    with open_history() as db:
        runs = db.runs(name=name, model=model, gpu=gpu, since_s=since_s, until_s=until_s)
        narrowed = not runs and bool(db.runs())
    if as_json:
        click.echo(json.dumps(runs, indent=2))
    elif narrowed:
        click.echo("no run matches; without options every run is listed")
    else:
        echo_page(lambda page: history_text.render_runs(page, runs))


@history.command()
@click.argument("run", required=False)
@json_option
def show(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show the GPUs, events and measured step times of a run.

    RUN is an id or its beginning.  Default: the latest run.
    """
    with open_history() as db:
        row = find_run(db.runs(), run)
        gpus, events = db.gpus(row["run"]), db.events(row["run"])
        measurements = db.measurements(run=row["run"])
    if as_json:
        document = {**row, "gpus": gpus, "events": events, "measurements": [*map(measurement, measurements)]}
        click.echo(json.dumps(document, indent=2))
    else:
        echo_page(lambda page: history_text.render_run(page, row, gpus, events, measurements))


@history.command()
@click.option(
    "--keep", metavar="TIME", default="14d", show_default=True, help="Keep raw readings younger than this."
)
@json_option
def prune(keep: str, as_json: bool) -> None:  # noqa: FBT001
    """Delete raw readings of ended runs.  Sums, rollups, events and notes stay for ever."""
    before_s = _moment_s("--keep", keep)
    if before_s > datetime.now(UTC).timestamp():
        raise InputError(
            f"--keep: {keep} is yet to come, so no reading would stay; a duration such as 14d is right"
        )
    with open_history() as db:
        blocks = db.prune(before_s)
    if as_json:
        click.echo(json.dumps({"blocks": blocks}))
        return
    click.echo(
        f"{plural(blocks, 'block')} of raw readings deleted; `clusterplan history vacuum` gives the space back"
    )


@history.command()
@json_option
def vacuum(as_json: bool) -> None:  # noqa: FBT001
    """Give the space of deleted readings back to the disk."""
    with History(history_path(os.environ)) as db:
        before, after = db.vacuum()
    if as_json:
        click.echo(json.dumps({"before_bytes": before, "after_bytes": after}))
        return
    click.echo(f"{history_path(os.environ)}: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")


@history.command("import")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--rebuild", "anew", is_flag=True, help="Make a new history of all registered runs, beside the old one."
)
@json_option
def import_(folders: tuple[Path, ...], anew: bool, as_json: bool) -> None:  # noqa: FBT001
    """Fold run folders into the history.  Default: the folders of all registered runs.

    Importing a folder twice changes nothing.  A run that goes on can be imported again later.
    """
    file = history_path(os.environ)
    if anew:
        if folders:
            raise InputError("--rebuild reads the folders of all registered runs: leave FOLDERS out")
        rebuild(file, as_json=as_json)
        return
    for folder in folders:
        if not (folder / RUN_FILE).exists():
            raise InputError(f"{folder}: is no run folder: it has no {RUN_FILE}")
    with History(file) as db:
        chosen = [folder.resolve() for folder in folders] or list(folders_of_history(db.path))
        failed = [str(error) for error in collect_runs(chosen, db)]
    if as_json:
        runs = [folder.name for folder in chosen]
        click.echo(json.dumps({"path": str(file), "runs": runs, "not_imported": failed}, indent=2))
    else:
        click.echo(f"{plural(len(chosen), 'run')} in {file}")
    if failed:
        raise click.ClickException(f"not imported: {'; '.join(failed)}")


def _moment_s(flag: str, text: str) -> float:
    """Return the Unix time of a date, or of a duration before now."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    try:
        return datetime.now(UTC).timestamp() - parse_duration_s(text)
    except ValueError:
        raise InputError(
            f'{flag}: {text!r} is neither a duration such as "7d" nor a date such as 2026-11-01'
        ) from None
