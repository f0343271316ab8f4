"""Runs looked at again and again: their states, their GPUs, and how the pending ones wait."""

import os
from collections.abc import Sequence
from dataclasses import replace

from ...launcher.run_folder.folder import history_path
from ...launcher.run_folder.registry import find_folders, runs_to_show
from ...launcher.runs.state import OPEN_STATES, State
from ...launcher.runs.status import read_statuses
from ...launcher.sampler.recent import RecentGpu, recent_gpus
from ...launcher.slurm.pace import Pace
from ..runs import Run, Runs, as_runs, read_waiting_of

_MOST_WAITING = 5  # pending runs of which a forecast is made


class Watch:
    """Runs by the beginning of their ids; without one, all open runs, which are shown until they end and after.

    A look asks Slurm nothing if another did so less than 30 s ago: its answers are used again.
    """

    def __init__(self, beginning: str | None, pace: Pace | None = None) -> None:
        self._beginning = beginning
        self._pace = pace or Pace()
        self._watched: dict[str, Run] = {}

    def look(self) -> list[Run]:
        """Return the runs as they are now, the running ones first.  Raises InputError if no id begins so."""
        self._pace.look()
        runs = {run.run: run for run in self._read(self._beginning)}
        for name, before in self._watched.items():
            if name not in runs and before.state.state in OPEN_STATES:  # it has ended since
                runs |= {run.run: run for run in self._read(str(before.folder))}
        self._watched |= runs
        order = [State.RUNNING, State.PENDING]
        shown = sorted(
            self._watched.values(),
            key=lambda run: order.index(run.state.state) if run.state.state in order else len(order),
        )
        pending = [run.run for run in shown if run.state.state is State.PENDING][:_MOST_WAITING]
        return [
            replace(run, waiting=read_waiting_of(run, self._pace)) if run.run in pending else run
            for run in shown
        ]

    def _read(self, beginning: str | None) -> Runs:
        """Return the runs whose ids begin so, by default the open ones."""
        history = history_path(os.environ)
        if beginning:
            return as_runs(read_statuses(find_folders(history, "submit", beginning), pace=self._pace))
        shown = runs_to_show(history, "submit", 0)
        return as_runs(read_statuses(list(shown.runs), shown.runs, self._pace), shown.faults)


def read_gpus_of(runs: Sequence[Run]) -> dict[str, list[RecentGpu]]:
    """Return the GPUs of the runs that run, by run."""
    return {run.run: recent_gpus(run.folder) for run in runs if run.state.state is State.RUNNING}
