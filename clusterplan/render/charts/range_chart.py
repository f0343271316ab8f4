"""Estimates as ranges from P10 to P90 with their P50, and what was measured; by row, or by number of GPUs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...cluster_profiles.units import format_duration, plural
from ...estimator.ranges import Range
from .escaped import escape_text, format_place
from .figure import Figure, Values, frame_plot
from .paths import area_path, dots_path, line_path
from .scale import TALL, Axis, doubling_axis, value_axis

_ROW = 46.0  # pixels per row


@dataclass(frozen=True)
class RangeRow:
    """One estimate, and what was measured of it; None is not known."""

    name: str
    estimated: Range
    actual: float | None = None


def draw_range_rows(
    key: str, title: str, rows: Sequence[RangeRow], spell: Callable[[float], str] = format_duration
) -> Figure:
    """Return a bar from P10 to P90 for each row, with a line at its P50 and a dot at its actual value.

    Each row has a scale of its own, from 0 to its largest value: seconds and days stand side by side.
    """
    tall = _ROW * len(rows)
    inner, outer = list[str](), list[str]()
    for number, row in enumerate(rows):
        most = max(row.estimated.p90, row.actual or 0.0) * 1.1 or 1.0
        scale, y = Axis(0.0, most, ()), number * _ROW + 24
        low, middle, high = (
            scale.x(value) for value in (row.estimated.p10, row.estimated.p50, row.estimated.p90)
        )
        inner += [
            f'<path class="grid" d="M0 {format_place(y + 7)}H1000"/>',
            f'<rect class="range" x="{format_place(low)}" y="{format_place(y)}" width="{format_place(max(high - low, 2))}" height="14"/>',
            f'<path class="s0" d="M{format_place(middle)} {format_place(y - 2)}v18"/>',
        ]
        if row.actual is not None:
            inner.append(
                f'<path class="s1 dots large" d="M{format_place(scale.x(row.actual))} {format_place(y + 7)}h0"/>'
            )
        spoken = f"{row.name}: {spell(row.estimated.p50)} ({spell(row.estimated.p10)} to {spell(row.estimated.p90)})"
        spoken += f", was {spell(row.actual)}" if row.actual is not None else ""
        outer.append(f'<text class="name" x="0" y="{format_place(22 + y - 6)}">{escape_text(spoken)}</text>')
    return Figure(
        key=key,
        title=title,
        summary=" ".join(_spoken(row, spell) for row in rows),
        drawing=frame_plot("".join(inner), None, None, "".join(outer), tall),
        values=Values(("", "P10", "P50", "P90", "was"), [_cells(row, spell) for row in rows]),
        legend=[("range", "estimate, P10 to P90"), ("s0", "P50"), ("s1", "was")],
        tall=tall,
        is_flush=True,
    )


@dataclass(frozen=True)
class ScalingPoint:
    """An estimate for a number of GPUs, and whether it is the one that is advised."""

    gpus: int
    estimated: Range
    is_best: bool = False


def draw_scaling(
    key: str,
    title: str,
    points: Sequence[ScalingPoint],
    unit: str,
    limit: float | None = None,
    limit_name: str = "deadline",
) -> Figure:
    """Return a quantity by the number of GPUs: the range from P10 to P90 and the line of the P50; `limit` is a level."""
    ordered = sorted(points, key=lambda point: point.gpus)
    x = doubling_axis([point.gpus for point in ordered])
    highs = [point.estimated.p90 for point in ordered]
    y = value_axis([*highs, *([limit] if limit is not None else [])], unit, low=0.0)
    medians = [(point.gpus, point.estimated.p50) for point in ordered]
    area = [(point.gpus, point.estimated.p10, point.estimated.p90) for point in ordered]
    best = [(point.gpus, point.estimated.p50) for point in ordered if point.is_best]
    shapes = [
        f'<path class="band" d="{area_path(area, x, y)}"/>',
        f'<path class="s0" d="{line_path(medians, x, y)}"/><path class="s0 dots" d="{dots_path(medians, x, y)}"/>',
        f'<path class="s1 dots large" d="{dots_path(best, x, y)}"/>',
    ]
    legend = [("s0", "P50"), ("band", "P10 to P90")]
    if best:
        legend.append(("s1", "advised"))
    if limit is not None:
        shapes.append(f'<path class="limit" d="M0 {format_place(y.y(limit, TALL))}H1000"/>')
        legend.append(("limit", limit_name))
    texts = [
        f"{plural(p.gpus, 'GPU')}: {p.estimated.p50:.3g} ({p.estimated.p10:.3g} to {p.estimated.p90:.3g}) {unit}."
        for p in ordered
    ]
    rows = [
        (str(p.gpus), *(f"{value:.3g}" for value in (p.estimated.p10, p.estimated.p50, p.estimated.p90)))
        for p in ordered
    ]
    return Figure(
        key=key,
        title=title,
        summary=" ".join(texts),
        drawing=frame_plot("".join(shapes), x, y),
        values=Values(
            ("GPUs", f"P10, {unit}", f"P50, {unit}", f"P90, {unit}"), rows, [x.x(p.gpus) for p in ordered]
        ),
        legend=legend,
    )


def _cells(row: RangeRow, spell: Callable[[float], str]) -> tuple[str, ...]:
    values = (row.estimated.p10, row.estimated.p50, row.estimated.p90)
    return (row.name, *map(spell, values), "" if row.actual is None else spell(row.actual))


def _spoken(row: RangeRow, spell: Callable[[float], str]) -> str:
    was = f", was {spell(row.actual)}" if row.actual is not None else ""
    return f"{row.name}: {spell(row.estimated.p50)}{was}."
