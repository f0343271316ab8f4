"""Values by training step: speed, losses, learning rates, evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...cluster_profiles.units import format_significant
from .figure import Figure, Values, frame_plot
from .paths import Point, dots_path, line_path
from .scale import step_axis, value_axis

MOST_POINTS = 400  # of a line: more are not seen, and make the page large


@dataclass(frozen=True)
class Line:
    """One quantity by step; `has_dots` for values that are few, such as evaluations."""

    name: str
    points: Sequence[Point]
    has_dots: bool = False


@dataclass(frozen=True)
class Lines:
    """Quantities of one unit by step."""

    key: str
    title: str
    unit: str
    lines: Sequence[Line]
    remarks: Sequence[str] = ()


def draw_lines(chart: Lines) -> Figure:
    """Return the chart of values by step; lines of many points are thinned, so that their lows and highs stay."""
    lines = [Line(line.name, thin_points(line.points), line.has_dots) for line in chart.lines]
    known = [(at, value) for line in lines for at, value in line.points if value is not None]
    places = [at for at, _ in known] or [0.0]
    x = step_axis(min(0.0, *places), max(places))
    y = value_axis([value for _, value in known])
    shapes = [
        f'<path class="s{number}" d="{line_path(line.points, x, y)}"/>'
        + (f'<path class="s{number} dots" d="{dots_path(line.points, x, y)}"/>' if line.has_dots else "")
        for number, line in enumerate(lines)
    ]
    at_place = [dict(line.points) for line in lines]
    steps = sorted({at for line in lines for at, _ in line.points})
    unit = f", {chart.unit}" if chart.unit else ""
    rows = [(f"{at:,.0f}", *(_cell(values.get(at)) for values in at_place)) for at in steps]
    return Figure(
        key=chart.key,
        title=chart.title,
        summary=_summarise(lines, chart.unit),
        drawing=frame_plot("".join(shapes), x, y),
        values=Values(("step", *(f"{line.name}{unit}" for line in lines)), rows, [x.x(at) for at in steps]),
        legend=[(f"s{number}", line.name) for number, line in enumerate(lines)],
        remarks=chart.remarks,
    )


def thin_points(points: Sequence[Point], most: int = MOST_POINTS) -> Sequence[Point]:
    """Return at most so many points: of each stretch its lowest and its highest, and the last of all.

    >>> thin_points([(step, float(step % 7)) for step in range(1000)], 4)
    [(0, 0.0), (6, 6.0), (503, 6.0), (504, 0.0), (999, 5.0)]
    """
    known = [(at, value) for at, value in points if value is not None]
    if len(known) <= most:
        return points
    width = len(known) / (most / 2)
    kept = dict[float, float]()
    for number in range(most // 2):
        stretch = known[round(number * width) : round((number + 1) * width)]
        low, high = min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])
        kept |= dict(sorted((low, high)))
    return [*kept.items(), *([known[-1]] if known[-1][0] not in kept else [])]


def _cell(value: float | None) -> str:
    return "" if value is None else format_significant(value, 4) if value else "0"


def _summarise(lines: Sequence[Line], unit: str) -> str:
    texts = list[str]()
    for line in lines:
        known = [(at, value) for at, value in line.points if value is not None]
        if known:
            (first, begin), (last, end) = known[0], known[-1]
            texts.append(
                f"{line.name}: {_cell(begin)} {unit} at step {first:,.0f}, {_cell(end)} {unit} at step {last:,.0f}."
            )
    return " ".join(text.replace("  ", " ") for text in texts) or "No value is known."
