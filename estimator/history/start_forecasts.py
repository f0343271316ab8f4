"""The starts that were forecast for runs, in the history, beside those that came."""

from collections.abc import Mapping
from typing import Any

from ..measurements.clock_steps import length_sql
from ..queue.record import KeptForecast
from .samples import HistorySamples

_WAITED = length_sql("f.made_s", "run.started_s")


class HistoryStartForecasts(HistorySamples):
    """The starts that were forecast for runs."""

    def put_start_forecast(self, run: str, values: Mapping[str, Any]) -> None:
        """Put the start that was forecast when a run was submitted."""
        self._put("start_forecast", ("run",), {"run": run, **values})

    def start_forecasts(self, basis: str | None = None, cluster: str | None = None) -> list[KeptForecast]:
        """Return forecast and actual waits of runs that have begun, the latest first; of one basis and cluster if given."""
        rows = self._rows(
            f"SELECT coalesce(f.wait_p50_s, f.by_limits_s) AS forecast_s, {_WAITED} AS actual_s,"  # noqa: S608  our own words
            " f.wait_p10_s, f.wait_p90_s"
            " FROM start_forecast f JOIN run USING (run)"
            f" WHERE {_WAITED} IS NOT NULL AND f.by_limits_s IS NOT NULL"
            " AND (:basis IS NULL OR f.basis = :basis) AND (:cluster IS NULL OR f.cluster = :cluster)"
            " ORDER BY f.made_s DESC",
            {"basis": basis, "cluster": cluster},
        )
        return [KeptForecast(row["forecast_s"], row["actual_s"]) for row in rows]
