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
from .options import echo_page, json_option, utf8_text
from .recorded import collect_all, collected, find_run


@click.group()
def history() -> None:
    """What runs did: kept in one SQLite file that any tool can read."""


history.add_command(add)
history.add_command(check)
history.add_command(export)
history.add_command(remove)


@history.command()
@json_option
def path(as_json: bool) -> None:  # noqa: FBT001
    """Where the history file is."""
    where = history_path(os.environ)
    click.echo(json.dumps({"path": str(where)}) if as_json else where)


@history.command("list")
@click.option("--name", metavar="TEXT", callback=utf8_text, help="Only runs whose name contains this.")
@click.option(
    "--model", metavar="TEXT", callback=utf8_text, help="Only runs of models whose name contains this."
)
@click.option("--gpu", metavar="TEXT", callback=utf8_text, help="Only runs on GPUs whose type contains this.")
@click.option(
    "--since", metavar="TIME", help="Only runs begun within this time, such as 7d, or since a date."
)
@click.option("--until", metavar="TIME", help="Only runs begun longer ago than this, or before a date.")
@json_option
def list_(
    name: str | None,
    model: str | None,
    gpu: str | None,
    since: str | None,
    until: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Every run, the latest first."""
    since_s = None if since is None else _moment_s("--since", since)
    until_s = None if until is None else _moment_s("--until", until)
    with collected() as db:
        runs = db.runs(name=name, model=model, gpu=gpu, since_s=since_s, until_s=until_s)
        narrowed = not runs and bool(db.runs())
    if as_json:
        click.echo(json.dumps(runs, indent=2))
    elif narrowed:
        click.echo("no run is like that; without options every run is listed")
    else:
        echo_page(lambda page: history_text.listing(page, runs))


@history.command()
@click.argument("run", required=False)
@json_option
def show(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """What one run's GPUs did, and how long a step took.  RUN is an id or its beginning, else the latest."""
    with collected() as db:
        found = find_run(db.runs(), run)
        gpus, events = db.gpus(found["run"]), db.events(found["run"])
        measured = db.measurements(run=found["run"])
    if as_json:
        shown = {**found, "gpus": gpus, "events": events, "measurements": [measurement(m) for m in measured]}
        click.echo(json.dumps(shown, indent=2))
    else:
        echo_page(lambda page: history_text.one(page, found, gpus, events, measured))


@history.command()
@click.option(
    "--keep", metavar="TIME", default="14d", show_default=True, help="Raw readings younger than this stay."
)
@json_option
def prune(keep: str, as_json: bool) -> None:  # noqa: FBT001
    """Forget raw readings of ended runs.  Lines, rollups, events and notes stay for ever."""
    before_s = _moment_s("--keep", keep)
    if before_s > datetime.now(UTC).timestamp():
        raise InputError(f"--keep: {keep} is yet to come, so no reading would be young enough to stay")
    with collected() as db:
        gone = db.prune(before_s)
    if as_json:
        click.echo(json.dumps({"blocks": gone}))
        return
    click.echo(
        f"{plural(gone, 'block')} of raw readings forgotten; `clusterplan history vacuum` gives the space back"
    )


@history.command()
@json_option
def vacuum(as_json: bool) -> None:  # noqa: FBT001
    """Give the space of what was forgotten back to the disk."""
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
    """Fold run folders into the history.  Without FOLDERS every run that is registered.

    Importing twice changes nothing, and a run that is still written can be imported again later.
    """
    where = history_path(os.environ)
    if anew:
        if folders:
            raise InputError("--rebuild takes every registered run: leave the folders out")
        rebuild(where, as_json=as_json)
        return
    for folder in folders:
        if not (folder / RUN_FILE).exists():
            raise InputError(f"{folder}: is no run folder: it has no {RUN_FILE}")
    with History(where) as db:
        chosen = [folder.resolve() for folder in folders] or list(folders_of_history(db.path))
        failed = [str(error) for error in collect_all(chosen, db)]
    if as_json:
        runs = [folder.name for folder in chosen]
        click.echo(json.dumps({"path": str(where), "runs": runs, "not_imported": failed}, indent=2))
    else:
        click.echo(f"{plural(len(chosen), 'run')} in {where}")
    if failed:
        raise click.ClickException(f"not imported: {'; '.join(failed)}")


def _moment_s(flag: str, text: str) -> float:
    """Unix time of a date, or of so long ago."""
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
