"""`clusterplan history check`, and making a history anew."""

import json
import os
from pathlib import Path

import click

from ..cluster_profiles.units import join_names, plural
from ..errors import InputError
from ..estimator.history.runs import History
from ..estimator.history.salvage import examine
from ..launcher.run_folder.folder import history_path
from ..launcher.runs.collect import folders_of_history
from ..render import history_text
from .options import echo_page, json_option, say
from .recorded import collect_all


@click.command()
@json_option
def check(as_json: bool) -> None:  # noqa: FBT001
    """Whether the history file is sound.  If not, what can be saved, and exit code 1.

    The file is only read.
    """
    where = history_path(os.environ)
    if not where.exists():
        raise InputError(f"{where}: no history yet; the first run that is listed makes it")
    found = examine(where)
    folders = {folder.name for folder in folders_of_history(where)}
    only_here = [run for run in found.runs if run not in folders]
    if as_json:
        known = {"path": str(where), "faults": list(found.faults), "rows": found.rows}
        click.echo(json.dumps({**known, "in_run_folders": sorted(folders), "only_here": only_here}, indent=2))
    elif found.faults:
        echo_page(lambda page: history_text.damaged(page, found, len(folders), only_here))
    else:
        click.echo(f"{where}: fine")
    if found.faults:
        raise click.ClickException(f"{where}: damaged: {join_names(found.faults, 3)}")


def rebuild(old: Path, *, as_json: bool) -> None:
    """A new history of all registered runs beside the old one, and what only the old one has."""
    new = old.with_name(f"{old.stem}.rebuilt{old.suffix}")
    if new.exists():
        raise InputError(f"{new}: is there already; look at it, and move or remove it first")
    with History(new) as db:
        failed = [str(error) for error in collect_all(list(folders_of_history(old)), db)]
        there = {run["run"] for run in db.runs()}
    salvage = examine(old) if old.exists() else None
    only = [run for run in salvage.runs if run not in there] if salvage else []
    if as_json:
        known = {"path": str(new), "runs": sorted(there), "only_in_the_old_one": only}
        click.echo(json.dumps({**known, "not_imported": failed}, indent=2))
    else:
        click.echo(f"{plural(len(there), 'run')} in {new}; to use it, move it to {old}")
        for run in only:
            click.echo(f"only in the old one: {run}")
    if salvage and salvage.faults:
        say(f"the old one is damaged: {join_names(salvage.faults, 1)}")
    if failed:
        raise click.ClickException(f"not imported: {'; '.join(failed)}")
