"""The upkeep of the history file: prune it, check it, and make it anew from the run folders."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...cluster_profiles.units import join_names, plural
from ...errors import HistoryError, InputError
from ...estimator.history.faults import read_fault_reasons
from ...estimator.history.integrity import Integrity, check_integrity, history_exists
from ...launcher.run_folder.folder import RUN_FILE, history_path
from ...launcher.runs.collect import folders_of_history
from ...render.history import runs_text
from ...render.layout import Page
from ..measurements import ProgressCallback
from ..result import Result
from .history import History, collect, collected_history
from .runs import parse_moment_s


@dataclass(frozen=True, repr=False)
class Pruned(Result):
    """How many blocks of raw readings were deleted."""

    blocks: int
    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan history prune --json`."""
        return {"blocks": self.blocks}

    def write(self, page: Page) -> None:
        """Write how many, and how to give their space back."""
        blocks = plural(self.blocks, "block")
        page.line(f"{blocks} of raw readings deleted; `clusterplan history vacuum` gives the space back")


@dataclass(frozen=True, repr=False)
class Vacuumed(Result):
    """The size of the history file before and after."""

    path: Path
    before_bytes: int
    after_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan history vacuum --json`."""
        return {"before_bytes": self.before_bytes, "after_bytes": self.after_bytes}

    def write(self, page: Page) -> None:
        """Write both sizes."""
        page.line(
            f"{self.path}: {self.before_bytes / 1e6:.1f} MB before, {self.after_bytes / 1e6:.1f} MB now"
        )


@dataclass(frozen=True, repr=False)
class HistoryCheck(Result):
    """The faults of the history file, the runs that have a folder, and those that are only in this file.

    `not_collected` says of runs what was wrong with their folders when they were collected last.
    """

    path: Path
    integrity: Integrity
    in_run_folders: Sequence[str]
    only_here: Sequence[str]
    not_collected: Sequence[str] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return a line for each run whose folder could not be collected as a whole."""
        return tuple(f"not collected: {text}" for text in self.not_collected)

    @property
    def failure(self) -> str | None:
        """Return the faults in one line; None if the file is sound."""
        faults = self.integrity.faults
        return f"{self.path}: damaged: {join_names(faults, 3)}" if faults else None

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan history check --json`."""
        return {
            "path": str(self.path),
            "faults": list(self.integrity.faults),
            "rows": self.integrity.rows,
            "in_run_folders": list(self.in_run_folders),
            "only_here": list(self.only_here),
            "not_collected": list(self.not_collected),
        }

    def write(self, page: Page) -> None:
        """Write that it is fine, or what can be saved."""
        if self.integrity.faults:
            runs_text.render_damage(page, self.integrity, len(self.in_run_folders), self.only_here)
        else:
            page.line(f"{self.path}: fine")


@dataclass(frozen=True, repr=False)
class Imported(Result):
    """The runs that were read into the history file at `path`, and the error of each run that could not be read."""

    path: Path
    runs: Sequence[str]
    not_imported: Sequence[str]

    @property
    def failure(self) -> str | None:
        """Return how many runs could not be read as a whole; None if all could."""
        return (
            f"{plural(len(self.not_imported), 'run')} not imported as a whole" if self.not_imported else None
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return a line for each run that could not be read as a whole."""
        return tuple(f"not imported: {text}" for text in self.not_imported)

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan history import --json`."""
        return {"path": str(self.path), "runs": list(self.runs), "not_imported": list(self.not_imported)}

    def write(self, page: Page) -> None:
        """Write how many runs."""
        page.line(f"{plural(len(self.runs), 'run')} in {self.path}")


@dataclass(frozen=True, repr=False)
class Rebuilt(Imported):
    """A new history beside the old one, and the runs that only the old one has."""

    old: Path
    only_in_the_old_one: Sequence[str]
    faults_of_the_old_one: Sequence[str] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return a line for each run that could not be read as a whole, and one if the old file is damaged."""
        faults = self.faults_of_the_old_one
        damaged = (f"the old one is damaged: {join_names(faults, 1)}",) if faults else ()
        return (*super().remarks, *damaged)

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan history import --rebuild --json`."""
        return {
            "path": str(self.path),
            "runs": list(self.runs),
            "only_in_the_old_one": list(self.only_in_the_old_one),
            "not_imported": list(self.not_imported),
        }

    def write(self, page: Page) -> None:
        """Write how many runs, how to use the new history, and the runs that only the old one has."""
        page.line(f"{plural(len(self.runs), 'run')} in {self.path}; to use it, move it to {self.old}")
        for run in self.only_in_the_old_one:
            page.line(f"only in the old one: {run}")


def prune(keep: str = "14d", *, progress: ProgressCallback | None = None) -> Pruned:
    """Delete raw readings of ended runs that are older than `keep`, a duration or a date.

    Sums, rollups, events and notes stay.  Raises InputError and HistoryError.
    """
    before_s = parse_moment_s("--keep", keep)
    if before_s > datetime.now(UTC).timestamp():
        raise InputError(
            f"--keep: {keep} is in the future, so no reading would stay: give a duration such as 14d"
        )
    with collected_history(progress=progress) as history:
        return Pruned(history.prune(before_s), tuple(history.remarks))


def vacuum() -> Vacuumed:
    """Give the space of deleted readings back to the disk.  Raises HistoryError."""
    with History() as history:
        return Vacuumed(history.path, *history.vacuum())


def check_history() -> HistoryCheck:
    """Return whether the history file is sound, and what can be read of it; it is only read.

    Raises InputError where there is no file, and HistoryError for one of a newer clusterplan or of another user.
    """
    path = history_path(os.environ)
    if not history_exists(path):
        raise InputError(f"{path}: no history yet; `clusterplan history list` makes it")
    integrity = check_integrity(path)
    folders = {folder.name for folder in folders_of_history(path)}
    only_here = [run for run in integrity.runs if run not in folders]
    faults = [f"{run}: {reason}" for run, reason in read_fault_reasons(path).items() if run in folders]
    return HistoryCheck(path, integrity, sorted(folders), only_here, faults)


def import_runs(folders: Sequence[Path] = (), *, progress: ProgressCallback | None = None) -> Imported:
    """Read run folders into the history, by default those of all registered runs.

    Raises InputError for a folder that is none of a run, and HistoryError.
    """
    for folder in folders:
        if not (folder / RUN_FILE).exists():
            raise InputError(f"{folder}: is no run folder: it has no {RUN_FILE}")
    with History() as history:
        chosen = [folder.resolve() for folder in folders] or list(folders_of_history(history.path))
        errors = collect(chosen, history, settle=False, progress=progress)
        return Imported(history.path, [folder.name for folder in chosen], [*map(str, errors)])


def rebuild_history(*, progress: ProgressCallback | None = None) -> Rebuilt:
    """Make a new history of all registered runs beside the old one; the old one is only read.

    Raises InputError where the file of the new one exists, and HistoryError; then there is no new one.
    """
    old = history_path(os.environ)
    new = old.with_name(f"{old.stem}.rebuilt{old.suffix}")
    integrity = check_integrity(old) if history_exists(old) else Integrity((), {}, ())
    if history_exists(new):
        raise InputError(f"{new}: exists already; look at it, and move or remove it first")
    draft = new.with_name(f".{new.name}.{secrets.token_hex(4)}")
    try:
        with History(draft) as history:
            errors = collect(list(folders_of_history(old)), history, settle=False, progress=progress)
            if fault := next((error for error in errors if isinstance(error, HistoryError)), None):
                raise fault
            runs = {run["run"] for run in history.runs()}
        draft.rename(new)  # it appears whole
    except HistoryError as error:
        raise HistoryError(str(error).replace(str(draft), str(new))) from None
    finally:
        for rest in (draft, draft.with_name(f"{draft.name}-journal")):
            rest.unlink(missing_ok=True)
    return Rebuilt(
        new,
        sorted(runs),
        [*map(str, errors)],
        old,
        [run for run in integrity.runs if run not in runs],
        integrity.faults,
    )
