"""Forecasts of waits held against what came of them: after 20 runs, a forecast is corrected by that record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..ranges import Range, quantile

FEWEST = 20  # runs from which a forecast is corrected
_LATEST = 100  # runs that count: a site changes
_FLOOR_S = (
    60.0  # added to both sides of a ratio: a forecast of no wait has none, and Slurm looks once a minute
)


class KeptForecast(NamedTuple):
    """The wait that was forecast when a run was submitted, and the one that it had, in seconds."""

    forecast_s: float
    actual_s: float


@dataclass(frozen=True)
class Correction:
    """Actual over forecast waits of `runs` runs, each with a minute added: P10, P50 and P90."""

    runs: int
    ratio: Range

    def apply(self, wait_s: float) -> Range:
        """Return the range of the wait that the record makes of a forecast.

        >>> Correction(20, Range(0.5, 1.0, 2.0)).apply(60.0)
        Range(p10=0.0, p50=60.0, p90=180.0)
        """
        return Range(
            *(
                max(ratio * (wait_s + _FLOOR_S) - _FLOOR_S, 0.0)
                for ratio in (self.ratio.p10, self.ratio.p50, self.ratio.p90)
            )
        )


def learn_correction(kept: Iterable[KeptForecast]) -> Correction | None:
    """Return the correction that the latest 100 forecasts call for, the latest first; None for fewer than 20.

    >>> learn_correction([KeptForecast(540, 240)] * 20).ratio.p50
    0.5
    """
    latest: Sequence[KeptForecast] = list(kept)[:_LATEST]
    if len(latest) < FEWEST:
        return None
    ratios = sorted((each.actual_s + _FLOOR_S) / (each.forecast_s + _FLOOR_S) for each in latest)
    return Correction(len(latest), Range(*(quantile(ratios, q) for q in (0.1, 0.5, 0.9))))
