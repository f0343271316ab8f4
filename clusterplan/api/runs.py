"""Runs from Python: how they are going, and stop them."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..cluster_profiles.units import join_names
from ..errors import ClusterplanError, InputError, UnreadableFile
from ..estimator.gpu_use.notes import Note
from ..estimator.gpu_use.report import build_report
from ..estimator.stages.check import StageVerdict
from ..launcher.run_folder.final_status import has_final_status
from ..launcher.run_folder.folder import history_path
from ..launcher.run_folder.registry import find_folders, find_unreadable, runs_to_show
from ..launcher.run_folder.stages.stage import read_verdict
from ..launcher.runs.cancel import cancel_runs
from ..launcher.runs.checkpoint_note import read_checkpoint_note
from ..launcher.runs.run_files import RunFault
from ..launcher.runs.run_status import RunStatus
from ..launcher.runs.state import OPEN_STATES, State
from ..launcher.runs.status import Statuses, read_status, read_statuses
from ..launcher.slurm.pace import Pace
from ..launcher.slurm.silences import remembered_silences
from ..render.layout import Page
from ..render.runs import run_json, status_text
from ..render.trials.stage_text import verdict_as_json
from .result import Result, Results

if TYPE_CHECKING:
    from ..launcher.forecast.waiting import Waiting
    from ..launcher.submission.submission import SubmittedRun  # everything of a submission, for `status`

T = TypeVar("T")

_MOST_ENDED = 50
_UNREAD = "not read"


@dataclass(frozen=True, repr=False)
class Run(Result, RunStatus):
    """A submitted run, as `clusterplan status RUN` shows it.

    `run` is its id, `state.state` a word such as `running`, `state.reason` its reason, `progress` its steps and the
    time they still take (None: not known), `folder` where its files are.  `notes` are those on its GPUs in the last
    hour, or of a run that has ended those on its steps; they are read for one run that was asked for by name.
    `checkpoint_note` says, of one run that was asked for by name, which checkpoints could not be resumed from, or which
    files are there where none is recognised.  `verdict` is that on a stage of a job that has ended.  `waiting` says of
    one pending run on Slurm when it would start, and what would make it start sooner.
    """

    notes: tuple[Note, ...] | None = None
    remarks: tuple[str, ...] = ()
    checkpoint_note: str | None = None
    verdict: StageVerdict | None = None
    waiting: "Waiting | None" = None

    def as_dict(self) -> dict[str, Any]:
        """Return the run as `clusterplan status --json` lists it; docs/reference/json.md describes the keys."""
        values = status_text.run_as_json(self)
        if self.notes is None:
            return values
        notes = run_json.notes_as_json(self.notes)
        queue = status_text.waiting_as_json(self.waiting)
        more = {
            "checkpoint_note": self.checkpoint_note,
            "check": verdict_as_json(self.verdict),
            "queue": queue,
        }
        return values | {"notes": notes, **more}

    def write(self, page: Page) -> None:
        """Write everything that is known of the run."""
        status_text.render_status(
            page, self, self.notes or (), self.checkpoint_note, self.verdict, self.waiting
        )


@dataclass(frozen=True, repr=False)
class Runs(Results[Run]):
    """Runs, the latest first: a sequence of `Run`.

    `earlier` says whether runs that have ended were left out; None if runs were asked for by name.  `faults` has a line
    for each file of a run that could not be read.
    """

    earlier: bool | None = None
    faults: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the remarks on each run, each once, and the faults of runs that cannot be shown."""
        return tuple(dict.fromkeys([*(remark for run in self for remark in run.remarks), *self.faults]))

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan status --json`; docs/reference/json.md describes the keys."""
        runs = {"runs": [run.as_dict() for run in self]}
        return runs if self.earlier is None else runs | {"earlier": self.earlier}

    def write(self, page: Page) -> None:
        """Write one line per run."""
        status_text.render_statuses(page, self, earlier=bool(self.earlier))


def runs(beginning: str | None = None) -> Runs:
    """Return the submitted runs: all open ones, and the latest 50 that have ended.

    With `beginning`, return the run of that id, or those whose ids begin with it.  Slurm is asked once for all of them;
    the end of a run that was killed before it could write it is written into its folder.  Raises InputError if no id
    begins with it.

    Examples:
        >>> latest = runs()[:5]
        >>> waiting = [run.run for run in latest if run.state.state == "pending"]
    """
    history = history_path(os.environ)
    if not beginning:
        shown = runs_to_show(history, "submit", _MOST_ENDED)
        return as_runs(read_statuses(list(shown.runs), shown.runs), shown.faults, earlier=shown.has_more)
    folders = find_folders(history, "submit", beginning)
    if len(folders) != 1:
        return as_runs(read_statuses(folders), find_unreadable(history, beginning))
    return Runs((_read_run(folders[0]),))


def cancel(*runs: "str | RunStatus | SubmittedRun", every: bool = False) -> Runs:
    """Stop runs for good, and return them as they were before; one that had ended stays as it is.

    A run is a `Run`, one of the `runs` that `submit` returned, an id, or the beginning of an id that only one open run
    has; with `every`, all open runs with that beginning stop.  Each gets its stop signal, and as much time to save as
    Slurm gives it.  Raises InputError if a beginning means no run or several, and SlurmUnavailable or SlurmRefused if
    Slurm does not stop them.

    Examples:
        >>> cancel("")
        Traceback (most recent call last):
        clusterplan.errors.InputError: RUN is empty, which would mean every run: give an id, or the beginning of one
    """
    with remembered_silences():
        chosen = dict.fromkeys(folder for run in runs for folder in _folders_of(run, every=every))
        statuses = cancel_runs(list(chosen))
    if statuses.faults and not statuses.statuses:
        raise statuses.faults[0].error
    return as_runs(statuses)


def _folders_of(run: "str | RunStatus | SubmittedRun", *, every: bool) -> Iterator[Path]:
    """The run, or with `every` all; where none goes on, the latest."""
    if not isinstance(run, str):
        yield run.folder
        return
    if not run:  # as of a variable that is not set
        raise InputError("RUN is empty, which would mean every run: give an id, or the beginning of one")
    folders = find_folders(history_path(os.environ), "submit", run)
    candidates = [folder for folder in folders if not has_final_status(folder)]
    if len(candidates) > 1:
        candidates = [s.folder for s in read_statuses(candidates).statuses if s.state.state in OPEN_STATES]
    if len(candidates) > 1 and not every:
        names = join_names(folder.name for folder in candidates)
        raise InputError(f"{len(candidates):,} runs begin with {run!r}: give one of {names}, or --all")
    yield from candidates or folders[:1]


def as_runs(
    statuses: Statuses, unreadable: Sequence[UnreadableFile] = (), *, earlier: bool | None = None
) -> Runs:
    """Return statuses as runs, with a line for each file that could not be read."""
    faults = [*(RunFault(Path(fault.path).parent, fault) for fault in unreadable), *statuses.faults]
    texts = dict.fromkeys(f"{_UNREAD}: {fault.text}" for fault in faults)
    return Runs(tuple(_as_run(status) for status in statuses.statuses), earlier, tuple(texts))


def _read_run(folder: Path) -> Run:
    """The status of a run with all that is read for one alone; what is wrong with a file is a remark."""
    run = _as_run(read_status(folder))
    faults = list(run.faults)

    def part(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except UnreadableFile as fault:
            faults.append(RunFault(folder, fault))
            return None

    verdict = part(lambda: read_verdict(folder)) if run.facts.get("stage") else None
    note, waiting = part(lambda: read_checkpoint_note(run)), read_waiting_of(run)
    run = _with_notes(run)
    texts = dict.fromkeys([*run.remarks, *(f"{_UNREAD}: {fault.text}" for fault in faults)])
    return replace(run, checkpoint_note=note, verdict=verdict, waiting=waiting, remarks=tuple(texts))


def _as_run(status: RunStatus, notes: Sequence[Note] | None = None, remarks: tuple[str, ...] = ()) -> Run:
    values = {
        name: value
        for name, value in vars(status).items()
        if name not in {"notes", "remarks", "checkpoint_note", "verdict", "waiting"}
    }
    return Run(**values, notes=None if notes is None else tuple(notes), remarks=(*remarks, *status.doubts))


def read_waiting_of(run: Run, pace: Pace | None = None) -> "Waiting | None":
    """Return how a run waits in Slurm's queue; None of any other.  Slurm is asked in the rounds of `pace`."""
    if (
        run.state.state is not State.PENDING
        or run.state.stale
        or not run.job
        or run.facts.get("executor") != "slurm"
    ):
        return None
    from ..estimator.queue.shape_start import correct  # noqa: PLC0415  the queue, for a pending run only
    from ..launcher.forecast.waiting import read_waiting  # noqa: PLC0415  likewise

    waiting = read_waiting(run.job, pace)
    if waiting is None:
        return None
    from .queue.shape_starts import read_correction  # noqa: PLC0415  likewise

    start, cluster = waiting.start, waiting.cluster
    forecast = correct(start.forecast, read_correction(start.forecast.basis, cluster))
    return replace(waiting, start=replace(start, forecast=forecast))


def _with_notes(run: Run) -> Run:
    """The run with what stands out of its GPUs of late, or once it has ended of its steps: slower than before, waiting.

    Where the history cannot take it, that is a remark.
    """
    is_running = run.state.state is State.RUNNING
    if not is_running and (not run.state.final or run.began_s is None):
        return _as_run(run, ())
    from ..launcher.runs.collect import collect_run  # noqa: PLC0415  SQLite, for a run that waits
    from .history.history import History  # noqa: PLC0415  likewise

    try:
        with History() as history:
            collect_run(run.folder, history, steps=not is_running)
            if is_running:
                since_s = time.time() - status_text.NOTES_OF_S
                return _as_run(run, build_report(history.record(run.run), since_s).notes)
            return _as_run(run, history.loop_notes(run.run))
    except ClusterplanError as error:
        return _as_run(run, (), (f"no notes: {error}",))
