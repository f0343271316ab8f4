"""`clusterplan history`."""

import csv
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ..cluster_profiles.units import counted, listed, parse_duration_s
from ..errors import ClusterplanError, InputError
from ..estimator.history import History
from ..estimator.runs import GpuReading
from ..launcher.collect import collect, registered
from ..launcher.run_folder import history_path
from ..report import history_text
from .history_add import add
from .options import echo_page, json_option
from .recorded import collected, find_run


@click.group()
def history() -> None:
    """What runs did: kept in one SQLite file that any tool can read."""


history.add_command(add)


@history.command()
def path() -> None:
    """Where the history file is."""
    click.echo(history_path(os.environ))


@history.command("list")
@click.option("--name", metavar="TEXT", help="Only runs whose name contains this.")
@click.option("--gpu", metavar="TEXT", help="Only runs on GPUs whose type contains this.")
@click.option(
    "--since", metavar="TIME", help="Only runs begun within this time, such as 7d, or since a date."
)
@json_option
def list_(name: str | None, gpu: str | None, since: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Every run, the latest first."""
    since_s = None if since is None else _moment_s("--since", since)
    with collected() as db:
        runs = db.runs(name, gpu, since_s)
    if as_json:
        click.echo(json.dumps(runs, indent=2))
    else:
        echo_page(lambda page: history_text.listing(page, runs))


@history.command()
@click.argument("run", required=False)
@json_option
def show(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """What one run's GPUs did; RUN is an id or its beginning, else the latest."""
    with collected() as db:
        found = find_run(db.runs(), run)
        gpus, events = db.gpus(found["run"]), db.events(found["run"])
    if as_json:
        click.echo(json.dumps({**found, "gpus": gpus, "events": events}, indent=2))
    else:
        echo_page(lambda page: history_text.one(page, found, gpus, events))


@history.command()
@click.argument("run", required=False)
@click.option("--csv", "form", flag_value="csv", default=True, help="Comma-separated values (the default).")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line.")
def export(run: str | None, form: str) -> None:
    """Print the raw readings of a run that are still kept, one a GPU and second."""
    with collected() as db:
        found = find_run(db.runs(), run)["run"]
        rows = [
            {"run": found, "node": gpu["node"], "uuid": gpu["uuid"], "time_s": time_s, **_readings(reading)}
            for gpu in db.gpus(found)
            for time_s, reading in db.readings(found, gpu["uuid"])
        ]
    if form == "jsonl":
        for row in rows:
            click.echo(json.dumps(row))
        return
    header = ["run", "node", "uuid", "time_s", *(name for name in GpuReading.__slots__ if name != "gpu")]
    writer = csv.DictWriter(sys.stdout, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "ring": json.dumps(row["ring"])} for row in rows)


@history.command()
@click.option(
    "--keep", metavar="TIME", default="14d", show_default=True, help="Raw readings younger than this stay."
)
def prune(keep: str) -> None:
    """Forget raw readings of ended runs; lines, rollups and events stay for ever."""
    before_s = _moment_s("--keep", keep)
    with collected() as db:
        gone = db.prune(before_s)
    click.echo(
        f"{counted(gone, 'block')} of raw readings forgotten; `clusterplan history vacuum` gives the space back"
    )


@history.command()
def vacuum() -> None:
    """Give the space of what was forgotten back to the disk."""
    with History(history_path(os.environ)) as db:
        before, after = db.vacuum()
    click.echo(f"{history_path(os.environ)}: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")


@history.command("import")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--rebuild", is_flag=True, help="Make a new history of all registered runs, beside the old one."
)
def import_(folders: tuple[Path, ...], rebuild: bool) -> None:  # noqa: FBT001
    """Fold run folders into the history; without FOLDERS every run that is registered.

    Importing twice changes nothing, and a run that is still written can be imported again later.
    """
    if rebuild:
        if folders:
            raise InputError("--rebuild takes every registered run: leave the folders out")
        _rebuild(history_path(os.environ))
        return
    with History(history_path(os.environ)) as db:
        chosen = [folder.resolve() for folder in folders] or list(registered(db.path))
        for folder in chosen:
            collect(folder, db)
    click.echo(f"{counted(len(chosen), 'run')} in {history_path(os.environ)}")


@history.command()
def check() -> None:
    """Whether the history file is sound; its faults and exit code 1 if not."""
    where = history_path(os.environ)
    if not where.exists():
        raise InputError(f"{where}: no history yet; the first run that is listed makes it")
    with History(where) as db:
        faults = db.damage()
    if faults:
        raise click.ClickException(f"{where}: damaged: {listed(faults, 3)}")
    click.echo(f"{where}: fine")


def _rebuild(old: Path) -> None:
    new = old.with_name(f"{old.stem}.rebuilt{old.suffix}")
    if new.exists():
        raise InputError(f"{new}: is there already; look at it, and move or remove it first")
    with History(new) as db:
        for folder in registered(old):
            collect(folder, db)
        there = {run["run"] for run in db.runs()}
    click.echo(f"{counted(len(there), 'run')} in {new}; to use it, move it to {old}")
    try:
        with History(old) as db:
            only = [run["run"] for run in db.runs() if run["run"] not in there]
    except ClusterplanError as error:
        click.echo(f"the old one cannot be read: {error}", err=True)
        return
    for run in only:
        click.echo(f"only in the old one: {run}")


def _moment_s(flag: str, text: str) -> float:
    """Unix time of a date, or of so long ago."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    try:
        return datetime.now(UTC).timestamp() - parse_duration_s(text)
    except ValueError as error:
        raise InputError(f"{flag}: {text!r} {error}, nor a date such as 2026-11-01") from None


def _readings(reading: GpuReading) -> dict[str, Any]:
    return {name: getattr(reading, name) for name in GpuReading.__slots__ if name != "gpu"}
