"""The runs of a sweep side by side, as text and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...cluster_profiles.units import format_significant, plural
from ...launcher.curves.training_log import TrainingLog
from ...launcher.runs.run_status import RunStatus
from ..layout import Page
from ..state_styles import STATE_STYLES


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep: what sets it apart, and what came of it; None is not known.

    `best_evaluation` is the best value of the metric `metric` on the validation set.  `gpu_hours` are those of its
    attempts, without the time between them.
    """

    status: RunStatus
    last_loss: float | None
    best_evaluation: float | None
    metric: str
    is_more_better: bool
    steps_per_s: float | None
    gpu_hours: float | None
    losses: Sequence[tuple[int, float]] = ()

    @classmethod
    def of(cls, status: RunStatus, log: TrainingLog | None) -> "SweepRun":
        """Return the run of a status and of what its loop told."""
        log = log or TrainingLog.nothing()
        curve = log.curve
        more = curve.validation_name in curve.is_more_better
        finite = [point.value for point in curve.validations if math.isfinite(point.value)]
        losses = [point for point in curve.losses if math.isfinite(point.value)]
        gpus = (status.facts.get("shape") or {}).get("gpus")
        held_s = None if status.elapsed_s is None else max(status.elapsed_s - status.waited_between_s, 0.0)
        return cls(
            status=status,
            last_loss=losses[-1].value if losses else None,
            best_evaluation=(max if more else min)(finite, default=None),
            metric=curve.validation_name,
            is_more_better=more,
            steps_per_s=1 / log.step_time_s if log.step_time_s else None,
            gpu_hours=gpus * held_s / 3600 if gpus and held_s is not None else None,
            losses=losses,
        )

    @property
    def values(self) -> str:
        """Return the values that set the run apart, as the sweep names them."""
        return ", ".join(f"{name} {value}" for name, value in self.status.sweep.items())


def order_runs(runs: Sequence[SweepRun]) -> list[SweepRun]:
    """Return the runs, the best evaluation first, then the lowest last loss; those that tell neither keep their order."""

    def rank(run: SweepRun) -> tuple[int, float]:
        if run.best_evaluation is not None:
            return 0, -run.best_evaluation if run.is_more_better else run.best_evaluation
        return (2, 0.0) if run.last_loss is None else (1, run.last_loss)

    return sorted(runs, key=rank)


SWEEP_HEADER = ("run", "state", "last loss", "best evaluation", "steps/s", "GPU-hours")


def sweep_cells(run: SweepRun) -> tuple[str, ...]:
    """Return the cells of a run under `SWEEP_HEADER`."""
    numbers = (run.last_loss, run.best_evaluation, run.steps_per_s, run.gpu_hours)
    return (
        run.status.run,
        run.status.state.state,
        *("-" if n is None else format_significant(n, 4) for n in numbers),
    )


def render_sweep(page: Page, name: str, runs: Sequence[SweepRun]) -> None:
    """Write a line per run, the best first."""
    page.mark(STATE_STYLES)
    page.sentence(f"{name}: {describe_sweep(runs)}")
    page.line()
    names = list(dict.fromkeys(key for run in runs for key in run.status.sweep))
    header = (*names, *SWEEP_HEADER[1:], SWEEP_HEADER[0])
    rows = []
    for run in order_runs(runs):
        identity, *cells = sweep_cells(run)
        rows.append((*(run.status.sweep.get(key, "") for key in names), *cells, identity))
    right = range(len(names) + 1, len(header) - 1)
    page.table(header, rows, right=right, first_to_go=("GPU-hours", "steps/s", "run"))


def describe_sweep(runs: Sequence[SweepRun]) -> str:
    """Return how many runs there are and in which states, and the GPU-hours of all."""
    states = dict[str, int]()
    for run in runs:
        states[run.status.state.state] = states.get(run.status.state.state, 0) + 1
    counts = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in states.items())
    hours = sum(run.gpu_hours or 0.0 for run in runs)
    return f"{plural(len(runs), 'run')} ({counts}), {format_significant(hours) if hours else '0'} GPU-hours in all"


def sweep_as_json(name: str, runs: Sequence[SweepRun]) -> dict[str, Any]:
    """Return the sweep and its runs, in the order of their submission."""
    return {
        "sweep": name,
        "runs": [
            {
                "run": run.status.run,
                "values": dict(run.status.sweep),
                "state": run.status.state.state,
                "reason": run.status.state.reason,
                "last_loss": run.last_loss,
                "best_evaluation": run.best_evaluation,
                "evaluation_metric": run.metric if run.best_evaluation is not None else None,
                "steps_per_s": run.steps_per_s,
                "gpu_hours": run.gpu_hours,
            }
            for run in runs
        ],
    }
