"""What was estimated of a run before it began, beside what it took."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..ranges import Range


@dataclass(frozen=True)
class Forecast:
    """One quantity in seconds: its estimate, and what it was; None is not known, or not yet.

    `source` is where the estimate of a step time came from, in a line.
    """

    what: str
    estimated: Range
    actual: float | None
    source: str | None = None

    @property
    def inside(self) -> bool | None:
        """Whether it was between P10 and P90, as 8 of 10 should be."""
        return None if self.actual is None else self.estimated.p10 <= self.actual <= self.estimated.p90


def compare_forecasts(
    told: Mapping[str, Any] | None, step_time_s: float | None, seconds: float | None
) -> list[Forecast]:
    """The forecasts of one run, from its line of the history's table `estimate`; `seconds` are its attempts' own.

    >>> told = {f"{name}_{p}_s": v for name in ("step_time", "wall_clock") for p, v in (("p10", 1), ("p50", 2), ("p90", 3))}
    >>> [(f.what, f.inside) for f in compare_forecasts(told, 2.5, None)]
    [('step time', True), ('wall-clock', None)]
    """
    return list(_forecasts(told, step_time_s, seconds)) if told else []


def _forecasts(
    told: Mapping[str, Any], step_time_s: float | None, seconds: float | None
) -> Iterator[Forecast]:
    source = ": ".join(said for key in ("source_kind", "source") if (said := told.get(key))) or None
    for what, name, actual, origin in (
        ("step time", "step_time", step_time_s, source),
        ("wall-clock", "wall_clock", seconds, None),
    ):
        values = [told[f"{name}_{p}_s"] for p in ("p10", "p50", "p90")]
        if None not in values:
            yield Forecast(what, Range(*values), actual, origin)
