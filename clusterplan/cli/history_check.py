"""`clusterplan history check`, and `import --rebuild`."""

import json
import os
from pathlib import Path

import click

from ..cluster_profiles.units import join_names, plural
from ..errors import InputError
from ..estimator.history.integrity import check_integrity
from ..estimator.history.runs import History
from ..launcher.run_folder.folder import history_path
from ..launcher.runs.collect import folders_of_history
from ..render import history_text
from .open_history import collect_runs
from .options import echo_page, json_option, say


@click.command()
@json_option
def check(as_json: bool) -> None:  # noqa: FBT001
    """Check the history file.  If it is damaged, say what can be saved, with exit code 1.

    The file is only read.
    """
    path = history_path(os.environ)
    if not path.exists():
        raise InputError(f"{path}: no history yet; `clusterplan history list` makes it")
    integrity = check_integrity(path)
    folders = {folder.name for folder in folders_of_history(path)}
    only_here = [run for run in integrity.runs if run not in folders]
    if as_json:
        document = {
            "path": str(path),
            "faults": list(integrity.faults),
            "rows": integrity.rows,
            "in_run_folders": sorted(folders),
            "only_here": only_here,
        }
        click.echo(json.dumps(document, indent=2))
    elif integrity.faults:
        echo_page(lambda page: history_text.render_damage(page, integrity, len(folders), only_here))
    else:
        click.echo(f"{path}: fine")
    if integrity.faults:
        raise click.ClickException(f"{path}: damaged: {join_names(integrity.faults, 3)}")


def rebuild(old: Path, *, as_json: bool) -> None:
    """Make a new history of all registered runs beside the old one, and name the runs that only the old one has."""
    new = old.with_name(f"{old.stem}.rebuilt{old.suffix}")
    if new.exists():
        raise InputError(f"{new}: exists already; look at it, and move or remove it first")
    with History(new) as db:
        failed = [str(error) for error in collect_runs(list(folders_of_history(old)), db)]
        runs = {run["run"] for run in db.runs()}
    integrity = check_integrity(old) if old.exists() else None
    only_old = [run for run in integrity.runs if run not in runs] if integrity else []
    if as_json:
        document = {
            "path": str(new),
            "runs": sorted(runs),
            "only_in_the_old_one": only_old,
            "not_imported": failed,
        }
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"{plural(len(runs), 'run')} in {new}; to use it, move it to {old}")
        for run in only_old:
            click.echo(f"only in the old one: {run}")
    if integrity and integrity.faults:
        say(f"the old one is damaged: {join_names(integrity.faults, 1)}")
    if failed:
        raise click.ClickException(f"not imported: {'; '.join(failed)}")
