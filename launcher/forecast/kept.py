"""The start that was forecast for a run when it was submitted: `start_forecast.json` in its folder."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from ...estimator.queue.wait import WaitForecast
from ..run_folder.folder import write_json
from ..run_folder.records.files import read_record
from ..run_folder.records.values import Count, Seconds

START_FORECAST_FILE = "start_forecast.json"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class StartForecast:
    """The wait that was forecast at `made_s`, in Unix seconds; waits are in seconds from then.

    `basis` is how it was made: `usage` from what jobs of late used of their limits, `limits` from limits alone, or `unknown`,
    and then `reason` says why.  `before` counts the jobs before it in line.  The forecast is never corrected:
    corrections are learned from it.
    """

    made_s: Seconds
    basis: str
    wait_p10_s: Seconds | None = None
    wait_p50_s: Seconds | None = None
    wait_p90_s: Seconds | None = None
    by_limits_s: Seconds | None = None
    before: Count | None = None
    cluster: str | None = None
    partition: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, made_s: float, forecast: WaitForecast, cluster: str, partition: str) -> Self:
        """Return a forecast as it is kept."""
        if forecast.by_limits_s is None:
            reason = "by the limits of the jobs before it, it never starts"
            return cls(
                made_s, UNKNOWN, before=forecast.before, cluster=cluster, partition=partition, reason=reason
            )
        wait = forecast.wait_s
        return cls(
            made_s,
            str(forecast.basis),
            wait_p10_s=wait.p10 if wait else None,
            wait_p50_s=wait.p50 if wait else None,
            wait_p90_s=wait.p90 if wait else None,
            by_limits_s=forecast.by_limits_s,
            before=forecast.before,
            cluster=cluster,
            partition=partition,
        )

    def keep(self, folder: Path) -> None:
        """Write it into the run's folder.  Raises OSError."""
        write_json(folder / START_FORECAST_FILE, asdict(self))


def read_start_forecast(folder: Path) -> StartForecast | None:
    """Return the forecast that was kept for a run; None without one.  Raises UnreadableFile."""
    return read_record(StartForecast, folder / START_FORECAST_FILE)
