"""What happened when: rows of stretches of time, such as the attempts of a run, or jobs on a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...cluster_profiles.units import format_duration
from .escaped import escape_text, format_place
from .figure import Figure, Values, frame_plot
from .scale import WIDE, time_axis

_ROW = 30.0  # pixels per row
_ROOM = 7.0  # pixels per letter, at least, for words inside a stretch of 720 pixels
_PIXELS = 720.0


@dataclass(frozen=True)
class Stretch:
    """From `begin_s` to `end_s` after the start of the chart; `kind` is wait, run, good, bad, stop or plan."""

    begin_s: float
    end_s: float
    kind: str
    name: str
    text: str = ""


@dataclass(frozen=True)
class StateRow:
    """One line of stretches that do not overlap."""

    name: str
    stretches: Sequence[Stretch]


def draw_states(
    key: str, title: str, rows: Sequence[StateRow], seconds: float, legend: Sequence[tuple[str, str]] = ()
) -> Figure:
    """Return rows of stretches over time; a stretch with room for it has its name inside."""
    x, tall = time_axis(seconds), _ROW * len(rows)
    inner, outer, cells, places = list[str](), list[str](), list[tuple[str, ...]](), list[float]()
    for number, row in enumerate(rows):
        y = number * _ROW + 4
        if len(rows) > 1:
            outer.append(
                f'<text class="y" x="-8" y="{format_place(22 + y + 15)}">{escape_text(row.name)}</text>'
            )
        for stretch in row.stretches:
            begin, end = x.x(stretch.begin_s), x.x(stretch.end_s)
            inner.append(
                f'<rect class="stretch {stretch.kind}" x="{format_place(begin)}" y="{format_place(y)}" '
                f'width="{format_place(max(end - begin, 2))}" height="{_ROW - 8:.0f}"><title>{escape_text(_spoken(stretch))}</title></rect>'
            )
            if (end - begin) / WIDE * _PIXELS > _ROOM * len(stretch.name) + 8:
                outer.append(
                    f'<text class="inside {stretch.kind}" x="{format_place((begin + end) / 2 / WIDE * 100)}%" '
                    f'y="{format_place(22 + y + 15)}">{escape_text(stretch.name)}</text>'
                )
            cells.append(
                (
                    row.name,
                    stretch.name,
                    _time(stretch.begin_s),
                    format_duration(stretch.end_s - stretch.begin_s),
                    stretch.text,
                )
            )
            places.append(begin)
    spoken = [f"{row.name}: {', '.join(_spoken(stretch) for stretch in row.stretches)}." for row in rows]
    return Figure(
        key=key,
        title=title,
        summary=" ".join(spoken),
        drawing=frame_plot("".join(inner), x, None, "".join(outer), tall),
        values=Values(("", "state", "from", "for", "remark"), cells, places),
        legend=legend,
        tall=tall,
        is_flush=len(rows) == 1,
    )


def _time(seconds: float) -> str:
    return format_duration(seconds) if seconds else "0"


def _spoken(stretch: Stretch) -> str:
    lasted = format_duration(stretch.end_s - stretch.begin_s)
    return f"{stretch.name} for {lasted}" + (f": {stretch.text}" if stretch.text else "")
