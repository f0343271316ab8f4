"""The runs of a sweep side by side, as `clusterplan report SWEEP` shows them."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError, UnreadableFile
from ...launcher.curves.run import read_run
from ...launcher.run_folder.folder import history_path
from ...launcher.run_folder.records.run_facts import read_run_facts
from ...launcher.run_folder.registry import find_folders, registered_folders
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.status import Statuses, read_statuses
from ...render.layout import Page
from ...render.runs.sweep_text import SweepRun, order_runs, render_sweep, sweep_as_json
from ..live.open_runs import read_statuses_at_pace
from ..result import Results

if TYPE_CHECKING:
    from ...render.charts.figure import Figure

_SUFFIX = 5  # characters of an id that differ between runs of one submission: a dash and four digits


@dataclass(frozen=True, repr=False)
class SweepReport(Results[SweepRun]):
    """The runs of one sweep, in the order of their submission, each a `SweepRun`: values, state, losses, speed, GPU-hours."""

    name: str = ""
    faults: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what could not be read."""
        return self.faults

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan report SWEEP --json`; docs/reference/json.md describes the keys."""
        return sweep_as_json(self.name, self.items)

    def write(self, page: Page) -> None:
        """Write one line per run, the best evaluation first."""
        render_sweep(page, self.name, self.items)

    def _figures(self) -> "list[Figure]":
        from ...render.pages.sweep_page import draw_cost, draw_losses  # noqa: PLC0415  the charts, for a terminal

        ordered = order_runs(self.items)
        return [figure for figure in (draw_losses(ordered), draw_cost(ordered)) if figure]

    def html(self) -> str:
        """Return the comparison as the text of one HTML file, which needs no network."""
        from ...render.pages.sweep_page import render_sweep_page  # noqa: PLC0415  the charts, for a terminal
        from .page import date_page  # noqa: PLC0415  likewise

        return render_sweep_page(self.name, self.items, date_page())


def report_sweep(sweep: str) -> SweepReport:
    """Compare the runs of a sweep; `sweep` is the beginning of their ids, and of several sweeps the latest counts.

    Raises InputError if no submitted run begins so, or the latest that does is of no sweep.

    Examples:
        >>> report_sweep("lr").items[0].best_evaluation  # doctest: +SKIP
        0.412
    """
    folders = find_sweep(sweep)
    if not folders:
        raise InputError(
            f"{sweep}: the latest run that begins so is of no sweep: `clusterplan submit --sweep` makes one"
        )
    return _compare(folders, read_statuses(folders))


def sweep_in(history: Path, name: str) -> SweepReport:
    """Compare the runs of the sweep that `sweep_of_run` names so, among those of a history.

    Slurm is asked every 30 s at most.  Raises InputError if there is no such sweep, and HistoryError.
    """
    folders = [folder for folder in registered_folders(history) if sweep_of_run(folder.name) == name]
    statuses = read_statuses_at_pace(history, folders)
    if not any(status.sweep for status in statuses.statuses):
        raise InputError(f"no sweep is called {name[:200]!r}: the pages of its runs link to it")
    return _compare(folders, statuses)


def sweep_of_run(run: str) -> str:
    """Return the name of the sweep that a run would be of: the beginning of the ids of one submission.

    >>> sweep_of_run("lr-20261128T101500-0a1b")
    'lr-20261128T101500'
    """
    return run[:-_SUFFIX]


def _compare(folders: Sequence[Path], statuses: Statuses) -> SweepReport:
    runs = [_read_sweep_run(status) for status in reversed(statuses.statuses)]
    faults = tuple(fault.text for fault in statuses.faults)
    return SweepReport(tuple(runs), name=sweep_of_run(folders[0].name), faults=faults)


def find_sweep(beginning: str | None) -> Sequence[Path]:
    """Return the folders of the latest sweep whose ids begin so; none for a whole id, or if the latest run is of none."""
    if not beginning or "/" in beginning:
        return []
    try:
        folders = find_folders(history_path(os.environ), "submit", beginning)
        if len(folders) <= 1 or not read_run_facts(folders[0]).get("sweep"):
            return []
    except (InputError, UnreadableFile):  # the report of a run says it
        return []
    name = sweep_of_run(folders[0].name)
    return [folder for folder in folders if sweep_of_run(folder.name) == name]


def _read_sweep_run(status: RunStatus) -> SweepRun:
    with suppress(OSError, UnreadableFile):
        return SweepRun.of(status, read_run(status.folder))
    return SweepRun.of(status, None)
