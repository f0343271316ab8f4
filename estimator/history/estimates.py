"""The estimates that runs were submitted with, in the history, and what became of them."""

from collections.abc import Mapping
from typing import Any

from ..accuracy.accuracy import Accuracy, StartWait, score_estimates
from ..accuracy.scored_run import ScoredRun, score_run, whole_training_s
from ..ranges import Range
from .samples import HistorySamples


class HistoryEstimates(HistorySamples):
    """The estimates of runs."""

    def put_estimate(self, run: str, values: Mapping[str, Any]) -> None:
        """Put the estimate that was made before a run, in place of an earlier one."""
        self._put("estimate", ("run",), {"run": run, **values})

    def estimate_of(self, run: str) -> tuple[dict[str, Any] | None, float | None, float | None]:
        """Return the estimate that was made before a run, the step time measured in it, and the seconds of a whole training.

        None is not known.
        """
        (facts,) = self._rows("SELECT * FROM run WHERE run = ?", (run,))
        estimates = self._rows("SELECT * FROM estimate WHERE run = ?", (run,))
        measured = self._rows("SELECT step_time_s FROM measurement WHERE run = ?", (run,))
        step_time_s = measured[0]["step_time_s"] if measured else None
        return (estimates[0] if estimates else None), step_time_s, whole_training_s(facts)

    def estimates(self) -> list[dict[str, Any]]:
        """Return the estimates that were made before runs, the latest first."""
        return self._rows("SELECT * FROM estimate ORDER BY created_s DESC, run")

    def accuracy(self, model: str | None = None) -> Accuracy:
        """Return how good the estimates of ended runs were: of all runs, or of those whose model contains this text."""
        return score_estimates(self.scored_runs(model), self._start_waits(model))

    def scored_runs(self, model: str | None = None) -> list[ScoredRun]:
        """Return the ended runs that had an estimate: all, or those whose model contains this text."""
        rows = self._rows(
            "SELECT e.*, run.model, state, ended_s, trained_s, limits_met, steps_planned, steps_done, m.step_time_s"
            " FROM estimate e JOIN run USING (run) LEFT JOIN measurement m USING (run)"
            " WHERE run.ended_s IS NOT NULL AND (:model IS NULL OR instr(lower(run.model), lower(:model)))",
            {"model": model},
        )
        return [score_run(row) for row in rows]

    def _start_waits(self, model: str | None) -> list[StartWait]:
        """The waits of runs that have begun, from the forecast on."""
        rows = self._rows(
            "SELECT f.*, run.started_s FROM start_forecast f JOIN run USING (run)"
            " WHERE run.started_s IS NOT NULL AND coalesce(f.wait_p50_s, f.by_limits_s) IS NOT NULL"
            " AND (:model IS NULL OR instr(lower(run.model), lower(:model)))",
            {"model": model},
        )
        return [_start_wait(row) for row in rows]


def _start_wait(row: Mapping[str, Any]) -> StartWait:
    p10, p50, p90 = (row[f"wait_{p}_s"] for p in ("p10", "p50", "p90"))
    actual_s = max(row["started_s"] - row["made_s"], 0.0)
    if None in (p10, p50, p90):
        return StartWait(row["by_limits_s"] if p50 is None else p50, None, actual_s)
    return StartWait(p50, Range(p10, p50, p90), actual_s)
