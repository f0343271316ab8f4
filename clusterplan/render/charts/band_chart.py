"""Many GPUs over time: the band from the lowest to the highest, the mean, and a line for each of the worst."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...cluster_profiles.units import format_duration, format_significant
from .escaped import escape_text, format_place
from .figure import Figure, Values, frame_plot
from .paths import area_path, line_path
from .scale import WIDE, Axis, time_axis, value_axis

MOST_LINES = 4  # more are not told apart


@dataclass(frozen=True)
class Mark:
    """A time of the chart that a note speaks of: from `begin_s` to `end_s` after its start; `label` is a short number."""

    begin_s: float
    end_s: float
    label: str
    text: str


@dataclass(frozen=True)
class Band:
    """One quantity of all GPUs of a run, at `times_s` after its start; None is not known.

    `worst` are the GPUs that stand out, each with its name and its values at these times.
    """

    key: str
    title: str
    unit: str
    times_s: Sequence[float]
    lows: Sequence[float | None]
    means: Sequence[float | None]
    highs: Sequence[float | None]
    seconds: float  # of the whole chart
    gpus: int
    worst: Sequence[tuple[str, Sequence[float | None]]] = ()
    full: float | None = None  # the end of the scale, if there is one: 100 %, or a limit


def draw_band(band: Band, marks: Sequence[Mark] = (), remarks: Sequence[str] = ()) -> Figure:
    """Return the chart of one quantity over time."""
    x = time_axis(band.seconds)
    y = _axis(band)
    worst = [*band.worst][:MOST_LINES]
    shapes = [_mark_area(mark, x) for mark in marks]
    if band.gpus > 1:
        area = list(zip(band.times_s, band.lows, band.highs, strict=True))
        shapes.append(f'<path class="band" d="{area_path(area, x, y)}"/>')
    shapes += [
        f'<path class="s{number}" d="{line_path(zip(band.times_s, line, strict=True), x, y)}"/>'
        for number, (_, line) in enumerate(worst, 1)
    ]
    shapes.append(f'<path class="s0" d="{line_path(zip(band.times_s, band.means, strict=True), x, y)}"/>')
    legend = [("s0", "mean of all GPUs" if band.gpus > 1 else "the GPU")]
    legend += [("band", "lowest to highest")] if band.gpus > 1 else []
    legend += [(f"s{number}", name) for number, (name, _) in enumerate(worst, 1)]
    return Figure(
        key=band.key,
        title=band.title,
        summary=_summarise(band),
        drawing=frame_plot("".join(shapes), x, y, "".join(_mark_label(mark, x) for mark in marks)),
        values=_values(band, worst, x),
        legend=legend,
        unit_axis=y,
        remarks=remarks,
    )


def _axis(band: Band) -> Axis:
    known = [value for values in (band.lows, band.means, band.highs) for value in values if value is not None]
    return value_axis(known, band.unit, low=0.0 if band.full else None, high=band.full)


def _summarise(band: Band) -> str:
    means, lows, highs = (
        [value for value in values if value is not None] for values in (band.means, band.lows, band.highs)
    )
    if not means:
        return "No value is known."
    mean = sum(means) / len(means)
    return (
        f"Mean {_with_unit(mean, band.unit)}, from {_with_unit(min(lows or means), band.unit)} to "
        f"{_with_unit(max(highs or means), band.unit)}, over {format_duration(band.seconds)}."
    )


def _with_unit(value: float, unit: str) -> str:
    return f"{format_number(value)} {unit}".strip()


def format_number(value: float | None) -> str:
    """Return a value as a cell of the table; empty if it is not known."""
    return "" if value is None else format_significant(value) if value else "0"


def _values(band: Band, worst: Sequence[tuple[str, Sequence[float | None]]], x: Axis) -> Values:
    unit = f", {band.unit}" if band.unit else ""
    many = band.gpus > 1
    header = [
        "time",
        *([f"lowest{unit}"] if many else []),
        f"mean{unit}",
        *([f"highest{unit}"] if many else []),
    ]
    columns = [band.lows, band.means, band.highs] if many else [band.means]
    columns += [values for _, values in worst]
    rows = [
        (format_duration(time_s) if time_s else "0", *map(format_number, cells))
        for time_s, *cells in zip(band.times_s, *columns, strict=True)
    ]
    return Values((*header, *(name for name, _ in worst)), rows, [x.x(time_s) for time_s in band.times_s])


def _mark_area(mark: Mark, x: Axis) -> str:
    begin, end = x.x(mark.begin_s), x.x(mark.end_s)
    return f'<rect class="mark" x="{format_place(begin)}" width="{format_place(max(end - begin, 2))}" height="100%"/>'


def _mark_label(mark: Mark, x: Axis) -> str:
    share = (x.x(mark.begin_s) + x.x(mark.end_s)) / 2 / WIDE
    at = format_place(share * 100)
    return (
        f'<g class="number" data-x="{format_place(share * WIDE)}"><title>{escape_text(mark.text)}</title>'
        f'<circle cx="{at}%" cy="11" r="9"/><text x="{at}%" y="15">{escape_text(mark.label)}</text></g>'
    )
