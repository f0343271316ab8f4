"""`clusterplan history`."""

import difflib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ..cluster_profiles.units import counted, listed
from ..errors import ClusterplanError, InputError
from ..estimator.history import History
from ..launcher.collect import collect, registered
from ..launcher.run_folder import history_path
from ..report import history_text
from .options import echo_page, json_option


@click.group()
def history() -> None:
    """What runs did: kept in one SQLite file that any tool can read."""


@history.command()
def path() -> None:
    """Where the history file is."""
    click.echo(history_path(os.environ))


@history.command("list")
@json_option
def list_(as_json: bool) -> None:  # noqa: FBT001
    """Every run, the latest first."""
    with _collected() as db:
        runs = db.runs()
    if as_json:
        click.echo(json.dumps(runs, indent=2))
    else:
        echo_page(lambda page: history_text.listing(page, runs))


@history.command()
@click.argument("run", required=False)
@json_option
def show(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """What one run's GPUs did; RUN is an id or its beginning, else the latest."""
    with _collected() as db:
        found = _run(db.runs(), run)
        gpus, events = db.gpus(found["run"]), db.events(found["run"])
    if as_json:
        click.echo(json.dumps({**found, "gpus": gpus, "events": events}, indent=2))
    else:
        echo_page(lambda page: history_text.one(page, found, gpus, events))


@history.command("import")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, file_okay=False, exists=True))
def import_(folders: tuple[Path, ...]) -> None:
    """Fold run folders into the history; without FOLDERS every run that is registered.

    Importing twice changes nothing, and a run that is still written can be imported again later.
    """
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


@contextmanager
def _collected() -> Iterator[History]:
    """The history with everything that lies in registered run folders; what cannot be read is said and left."""
    with History(history_path(os.environ)) as db:
        for folder in registered(db.path):
            try:
                collect(folder, db)
            except ClusterplanError as error:
                click.echo(f"not collected: {error}", err=True)
        yield db


def _run(runs: list[dict[str, Any]], wanted: str | None) -> dict[str, Any]:
    ids = [run["run"] for run in runs]
    if not runs:
        raise InputError("there are no runs yet: `clusterplan sample -- COMMAND` makes one")
    if wanted is None:
        return runs[0]
    found = [run for run in runs if run["run"] == wanted] or [
        run for run in runs if run["run"].startswith(wanted)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"run {wanted!r} is ambiguous: say one of {listed(run['run'] for run in found)}")
    nearest = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.3) or ids[:3]
    raise InputError(f"run {wanted!r} is not in the history; the nearest are {listed(nearest)}")
