"""Time and efficiency by GPUs with their ranges, drawn in letters for a terminal."""

import math
from collections.abc import Callable, Sequence

from ...cluster_profiles.units import format_duration
from ...estimator.estimate.estimate import Estimate
from ...estimator.estimate.shapes import efficiency
from ...estimator.ranges import Range
from ..layout import Page, Style

_LABEL_COLUMNS = 32  # the numbers beside a range
_NARROWEST, _WIDEST = 16, 60  # columns of the drawing
_LOG_FROM = 8.0  # ratio of the largest to the smallest value from which an axis is logarithmic


def write_plot(page: Page, estimates: Sequence[Estimate], width: int) -> None:
    """Draw the wall-clock and the efficiency of each shape from P10 to P90, on a page of `width` columns."""
    names = [_name(e, estimates) for e in estimates]
    totals = [e.clock.total for e in estimates]
    ratios = [_efficiency_range(estimates, e) for e in estimates]
    columns = min(max(width - max(map(len, names)) - _LABEL_COLUMNS - 4, _NARROWEST), _WIDEST)
    page.line()
    if not any(totals):
        page.sentence("no plot: the time is unknown")
        return
    _write_ranges(page, "time", names, totals, columns, format_duration)
    if any(ratios):
        page.line()
        _write_ranges(page, "efficiency", names, ratios, columns, lambda ratio: f"{ratio:.0%}")


def draw_range(value: Range, place: Callable[[float], float], columns: int) -> str:
    """Return a range in `columns` letters; `place` gives where on the axis a value is, from 0 to 1.

    >>> draw_range(Range(20, 50, 90), lambda value: value / 100, 11)
    '  ├──●───┤ '
    """
    first, middle, last = (
        round(min(max(place(x), 0.0), 1.0) * (columns - 1)) for x in (value.p10, value.p50, value.p90)
    )
    letters = [" "] * columns
    letters[first : last + 1] = "─" * (last - first + 1)
    letters[first], letters[last] = "├", "┤"
    letters[middle] = "●"
    return "".join(letters)


def _write_ranges(
    page: Page,
    title: str,
    names: Sequence[str],
    values: Sequence[Range | None],
    columns: int,
    shown: Callable[[float], str],
) -> None:
    ranges = [value for value in values if value]
    least, most = min(value.p10 for value in ranges), max(value.p90 for value in ranges)
    is_log = least > 0 and most / least > _LOG_FROM

    def place(value: float) -> float:
        return math.log(value / least) / math.log(most / least) if is_log else value / most

    widest = max(map(len, names))
    axis = "logarithmic" if is_log else "from 0"
    page.line(f"{'GPUs':>{widest}}  {title}: ├ P10, ● P50, ┤ P90; axis {axis} to {shown(most)}", Style.BOLD)
    for name, value in zip(names, values, strict=True):
        if value is None:
            page.line(f"{name:>{widest}}  unknown")
            continue
        label = f"{shown(value.p50)} ({shown(value.p10)} to {shown(value.p90)})"
        page.line(f"{name:>{widest}}  {draw_range(value, place, columns)}  {label}")


def _name(estimate: Estimate, estimates: Sequence[Estimate]) -> str:
    several = len({e.placement.precision for e in estimates}) > 1
    return f"{estimate.placement.gpus:,}" + (f" {estimate.placement.precision}" if several else "")


def _efficiency_range(estimates: Sequence[Estimate], other: Estimate) -> Range | None:
    """The range of samples/s per GPU over the median ones of the first shape; None where that is not known."""
    middle = efficiency(estimates, other)
    if middle is None or other.samples_per_s is None:
        return None
    return other.samples_per_s.scaled(middle / other.samples_per_s.p50)
