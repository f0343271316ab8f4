"""The runs of a sweep side by side, as `clusterplan report SWEEP` shows them."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, UnreadableFile
from ...launcher.curves.run import read_run
from ...launcher.run_folder.folder import history_path
from ...launcher.run_folder.records.run_facts import read_run_facts
from ...launcher.run_folder.registry import find_folders
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.status import read_statuses
from ...render.layout import Page
from ...render.runs.sweep_text import SweepRun, render_sweep, sweep_as_json
from ..result import Results

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

    def html(self) -> str:
        """Return the comparison as the text of one HTML file, which needs no network."""
        from ...render.pages.sweep_page import render_sweep_page  # noqa: PLC0415  the charts, for a terminal

        return render_sweep_page(self.name, self.items)


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
    statuses, faults = read_statuses(folders)
    runs = [_read_sweep_run(status) for status in reversed(statuses)]
    return SweepReport(
        tuple(runs), name=folders[0].name[:-_SUFFIX], faults=tuple(fault.text for fault in faults)
    )


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
    stem = folders[0].name[:-_SUFFIX]
    return [folder for folder in folders if folder.name[:-_SUFFIX] == stem]


def _read_sweep_run(status: RunStatus) -> SweepRun:
    with suppress(OSError, UnreadableFile):
        return SweepRun.of(status, read_run(status.folder))
    return SweepRun.of(status, None)
