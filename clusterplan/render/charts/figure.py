"""One chart with its title, its legend and its values, as HTML and as a picture of its own."""

import base64
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...cluster_profiles.visible_text import spreadsheet_cell
from .escaped import escape_text, format_place
from .scale import TALL, WIDE, Axis

STYLE = Path(__file__).with_name("charts.css").read_text(encoding="utf-8")
_ABOVE, _BELOW = 22.0, 24.0  # pixels over and under a plot, for marks and labels
_LEFT, _RIGHT, _WIDTH = 68, 20, 720  # of a picture of its own
_LINES = {"s0", "s1", "s2", "s3", "s4", "limit", "chosen"}  # other legends are of areas
_LEGEND_ROW = 18  # pixels
_NARROW = 0.94  # of the width: a label beyond ends at its tick


@dataclass(frozen=True)
class Values:
    """The values of a chart as text; `places` are those of the rows along the plot, from 0 to 1,000."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    places: Sequence[float] = ()


@dataclass(frozen=True)
class Figure:
    """A chart: `drawing` is SVG without its frame, `summary` one sentence that a screen reader says.

    `legend` has a class of `charts.css` and a name for each line.  `key` is a word without blanks that names the chart
    on its page; `unit_axis` tells a script how to draw another line into it.
    """

    key: str
    title: str
    summary: str
    drawing: str
    values: Values
    legend: Sequence[tuple[str, str]] = ()
    tall: float = TALL
    unit_axis: Axis | None = None
    remarks: Sequence[str] = ()
    is_flush: bool = False  # no labels stand left of the plot


def frame_plot(inner: str, x: Axis | None, y: Axis | None, outer: str = "", tall: float = TALL) -> str:
    """Return a plot with its axes: `inner` is in units of 1,000 by `tall` and stretches, `outer` is as wide as it is."""
    lines, labels = list[str](), list[str]()
    if y:
        for value, label in y.ticks:
            at = format_place(y.y(value, tall))
            lines.append(f'<path class="grid" d="M0 {at}H1000"/>')
            labels.append(
                f'<text x="-8" y="{format_place(_ABOVE + y.y(value, tall) + 4)}" class="y">{escape_text(label)}</text>'
            )
    if x:
        for number, (value, label) in enumerate(x.ticks):
            share = x.x(value) / WIDE
            lines.append(f'<path class="grid" d="M{format_place(share * WIDE)} 0V{format_place(tall)}"/>')
            kind = "x" + (" odd" if number % 2 else "") + (" last" if share > _NARROW else "")
            labels.append(
                f'<text x="{format_place(share * 100)}%" y="{format_place(_ABOVE + tall + 16)}" class="{kind}">{escape_text(label)}</text>'
            )
    return (
        f'<svg class="plot" y="{_ABOVE:.0f}" width="100%" height="{format_place(tall)}" viewBox="0 0 1000 {format_place(tall)}" '
        f'preserveAspectRatio="none">{"".join(lines)}{inner}</svg>{"".join(labels)}{outer}'
    )


def render_figure(figure: Figure) -> str:
    """Return the chart as HTML: its title, its legend, the picture, and a table of its values that opens."""
    items = "".join(f'<li><i class="key {kind}"></i>{escape_text(name)}</li>' for kind, name in figure.legend)
    remarks = "".join(f'<p class="remark">{escape_text(text)}</p>' for text in figure.remarks)
    scale = (
        f' data-low="{figure.unit_axis.low:g}" data-high="{figure.unit_axis.high:g}"'
        if figure.unit_axis
        else ""
    )
    return (
        f'<figure class="chart" id="chart-{figure.key}"{scale}><figcaption>{escape_text(figure.title)}</figcaption>'
        + (f'<ul class="legend">{items}</ul>' if items else "")
        + f'<div class="{"room flush" if figure.is_flush else "room"}">{_open(figure)}{figure.drawing}</svg></div>{remarks}{render_values(figure.values, figure.title)}</figure>'
    )


def render_picture(figure: Figure) -> str:
    """Return the chart as the text of an SVG file, which has its style in itself and is light or dark as the reader is."""
    high = figure.tall + _ABOVE + _BELOW
    legend, left, top = list[str](), 0, 0
    for kind, name in figure.legend:
        width = 44 + 7 * len(name)
        if left and left + width > _WIDTH:
            left, top = 0, top + _LEGEND_ROW
        shape = f'class="{kind}" d="M{left} {top}h18"'
        if kind not in _LINES:
            shape = f'class="stretch {kind}" d="M{left} {top - 5}h18v10h-18Z"'
        legend.append(
            f'<path {shape}/><text class="name" x="{left + 24}" y="{top + 4}">{escape_text(name)}</text>'
        )
        left += width
    whole_width, whole_height = _WIDTH + _LEFT + _RIGHT, high + top + 44
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole_width} {whole_height:.0f}" width="{whole_width}" '
        f'height="{whole_height:.0f}" role="img" class="chart picture" aria-label="{escape_text(figure.title)}">'
        f"<title>{escape_text(figure.title)}</title><desc>{escape_text(figure.summary)}</desc><style>{STYLE}</style>"
        f'<rect class="paper" width="100%" height="100%"/><text class="heading" x="12" y="22">{escape_text(figure.title)}</text>'
        f'<g transform="translate({_LEFT} 36)">{"".join(legend)}</g>'
        f'<svg x="{_LEFT}" y="{top + 40}" width="{_WIDTH}" height="{format_place(high)}" overflow="visible">{figure.drawing}</svg></svg>\n'
    )


def render_image(figure: Figure) -> str:
    """Return the chart as an image for a page of somebody else, such as a notebook: neither style reaches the other."""
    data = base64.b64encode(render_picture(figure).encode()).decode()
    text = escape_text(f"{figure.title}. {figure.summary}")
    return f'<img alt="{text}" style="display:block;max-width:100%" src="data:image/svg+xml;base64,{data}">'


def render_values(values: Values, title: str) -> str:
    """Return the values as a table that opens, with a link that saves them as CSV; nothing if there are none."""
    if not values.rows:
        return ""
    head = "".join(f'<th scope="col">{escape_text(name)}</th>' for name in values.header)
    places = [f' data-x="{format_place(place)}"' for place in values.places] or [""] * len(values.rows)
    rows = "".join(
        f"<tr{place}>{''.join(f'<td>{escape_text(cell)}</td>' for cell in row)}</tr>"
        for place, row in zip(places, values.rows, strict=True)
    )
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "values"
    text = base64.b64encode(csv_text(values).encode()).decode()
    return (
        f"<details><summary>Values</summary>"
        f'<p><a download="{name}.csv" href="data:text/csv;charset=utf-8;base64,{text}">Save as CSV</a></p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape_text(title)}: values"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def csv_text(values: Values) -> str:
    """Return the values as CSV; no text of a run is a formula to a spreadsheet.

    >>> print(csv_text(Values(("GPU", "mean"), [("=1+1", "5")])), end="")
    GPU,mean
    '=1+1,5
    """
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(
        [_cell(cell) for cell in row] for row in (values.header, *values.rows)
    )
    return file.getvalue()


def _cell(cell: str) -> str:
    """A number is no formula, be it below 0."""
    return cell if re.fullmatch(r"-?[\d,.]+", cell) else spreadsheet_cell(cell)


def _open(figure: Figure) -> str:
    high = format_place(figure.tall + _ABOVE + _BELOW)
    label = escape_text(f"{figure.title}. {figure.summary}")
    return f'<svg width="100%" height="{high}" role="img" aria-label="{label}">'
