"""A run's estimate from before it began, beside what the run took."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..ranges import Range


@dataclass(frozen=True)
class Forecast:
    """One quantity in seconds: its estimate, and its measured value; None is not known, or not yet.

    `source` says in a line where the estimate of a step time came from.
    """

    what: str
    estimated: Range
    actual: float | None
    source: str | None = None

    @property
    def inside(self) -> bool | None:
        """Return whether the value was between P10 and P90, as 8 of 10 should be."""
        return None if self.actual is None else self.estimated.p10 <= self.actual <= self.estimated.p90


def compare_forecasts(
    estimate: Mapping[str, Any] | None, step_time_s: float | None, training_s: float | None
) -> list[Forecast]:
    """Return the forecasts of one run, from its row of the history's table `estimate`.

    `step_time_s` and `training_s` (the time of all attempts) are measured.

    >>> quantiles = (("p10", 1), ("p50", 2), ("p90", 3))
    >>> row = {f"{name}_{p}_s": v for name in ("step_time", "wall_clock") for p, v in quantiles}
    >>> [(f.what, f.inside) for f in compare_forecasts(row, 2.5, None)]
    [('step time', True), ('wall-clock', None)]
    """
    return list(_forecasts(estimate, step_time_s, training_s)) if estimate else []


def _forecasts(
    estimate: Mapping[str, Any], step_time_s: float | None, training_s: float | None
) -> Iterator[Forecast]:
    source = ": ".join(text for key in ("source_kind", "source") if (text := estimate.get(key))) or None
    for what, name, actual, origin in (
        ("step time", "step_time", step_time_s, source),
        ("wall-clock", "wall_clock", training_s, None),
    ):
        quantiles = [estimate[f"{name}_{p}_s"] for p in ("p10", "p50", "p90")]
        if None not in quantiles:
            yield Forecast(what, Range(*quantiles), actual, origin)
