"""`clusterplan status`."""

import json
import os
import time
from collections.abc import Sequence

import click

from ..errors import ClusterplanError
from ..estimator.gpu_use.notes import Note
from ..launcher.run_folder.folder import history_path
from ..launcher.run_folder.registry import find_folders, folders_to_show
from ..launcher.runs.state import State
from ..launcher.runs.status import RunStatus, read_statuses
from ..render import run_json, status_text
from .options import echo_page, json_option, say

_MOST_ENDED = 50


@click.command()
@click.argument("run", required=False)
@json_option
def status(run: str | None, as_json: bool) -> None:  # noqa: FBT001
    """How runs are going: RUN by its id, those whose ids begin so, or all that go on and the latest 50 that have ended.

    It works from any folder and days later, whether Slurm remembers the job or not.
    """
    history = history_path(os.environ)
    if run:
        chosen, earlier = find_folders(history, "submit", run), False
    else:
        chosen, earlier = folders_to_show(history, "submit", _MOST_ENDED)
    found = read_statuses(chosen)
    alone = bool(run) and len(found) == 1
    notes = _notes(found[0]) if alone else []
    if as_json:
        shown = [status_text.as_json(s) for s in found]
        if alone:
            shown[0]["notes"] = run_json.notes_as_json(notes)
        click.echo(json.dumps({"runs": shown} | ({} if run else {"earlier": earlier}), indent=2))
    elif alone:
        echo_page(lambda page: status_text.one(page, found[0], notes))
    else:
        echo_page(lambda page: status_text.listing(page, found, earlier=earlier))


def _notes(status: RunStatus) -> Sequence[Note]:
    """What stands out of a running run's GPUs of late; where the history cannot take it, that is said."""
    if status.state.state is not State.RUNNING:
        return []
    from ..estimator.gpu_use.report import build_report  # noqa: PLC0415  the history, for a running run only
    from ..estimator.history.runs import History  # noqa: PLC0415  likewise
    from ..launcher.runs.collect import collect  # noqa: PLC0415  likewise

    try:
        with History(history_path(os.environ)) as db:
            collect(status.folder, db, steps=False)
            return build_report(db.record(status.run), time.time() - status_text.NOTES_OF_S).notes
    except ClusterplanError as error:
        say(f"no notes: {error}")
        return []
