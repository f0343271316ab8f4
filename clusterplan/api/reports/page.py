"""A report as one HTML file: what its page shows is read here."""

import shlex
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError, UnreadableFile
from ...estimator.gpu_use.course.places import place_notes
from ...estimator.history.runs import History as HistoryOfRuns
from ...launcher.curves.run import read_run
from ...launcher.curves.training_log import TrainingLog
from ...launcher.run_folder.folder import links_folder, write_text
from ...launcher.run_folder.task_records import read_tasks
from ...launcher.runs.explain.story import Chapter, tell_story
from ...render.charts.figure import Figure
from ...render.pages.run_charts import RunDetails, draw_estimate, draw_gpus, draw_story, draw_training
from ...render.pages.run_page import render_run_page
from ..history.history import History

if TYPE_CHECKING:
    from ..report import Report


def draw_report(report: "Report") -> str:
    """Return the report as the text of one HTML file."""
    return render_run_page(report, report.cost, report.status, read_details(report))


def draw_figures(report: "Report") -> list[Figure]:
    """Return the charts of the page."""
    details = read_details(report)
    story, estimate = draw_story(details.chapters), draw_estimate(report)
    training = draw_training(details.log) if details.log else ()
    drawn = (story, *training, *draw_gpus(report, details), estimate)
    return [figure for figure in drawn if figure]


def read_details(report: "Report", history: HistoryOfRuns | None = None) -> RunDetails:
    """Return what the page of a run shows beside its report; `history` is by default the one that the commands use.

    Raises HistoryError.
    """
    if history is None:
        with History() as opened:
            return read_details(report, opened)
    status = report.status
    folder = status.folder if status else links_folder(history.path) / report.run
    course = history.course(report.run, status.began_s if status else None)
    return RunDetails(
        course=course,
        places=place_notes(report.notes, course, history.events(report.run)),
        log=_read_log(folder),
        chapters=_read_story(report, folder),
        command=shlex.join(status.facts.get("command") or ()) if status else "",
        written_utc=date_page(),
    )


def date_page() -> str:
    """Return the end of a sentence: when a page is written."""
    return f"on {datetime.now(UTC):%Y-%m-%d at %H:%M} UTC"


def write_page(path: Path, text: str) -> int:
    """Write a page whole or not at all, and return its bytes; a link stays one.  Raises InputError."""
    try:
        target = path.resolve()
        if not target.parent.is_dir():
            folder = target.parent if path.is_symlink() else path.parent
            raise InputError(f"--html {path}: there is no folder {folder}: make it, or give another file")
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "no file"
            raise InputError(f"--html {path}: is {kind}; give a file, such as run.html")
        write_text(target, text)
        return target.stat().st_size
    except OSError as error:
        raise InputError(f"--html {path}: cannot be written: {error.strerror}") from None


def _read_log(folder: Path) -> TrainingLog | None:
    with suppress(OSError, UnreadableFile):
        return read_run(folder)
    return None


def _read_story(report: "Report", folder: Path) -> list[Chapter]:
    with suppress(OSError, UnreadableFile):
        if report.status:
            return tell_story(report.status, read_tasks(folder).records)
    return []
