"""One bar per name, the longest first: usage by user, by model, by partition."""

from collections.abc import Sequence
from dataclasses import dataclass

from .band_chart import format_number
from .escaped import escape_text, format_place
from .figure import Figure, Values, frame_plot
from .scale import WIDE

_ROW = 40.0  # pixels per bar, with its name above
MOST_BARS = 12


@dataclass(frozen=True)
class Bar:
    """`part` is the share of the value that is drawn darker, such as what was idle; None is none."""

    name: str
    value: float
    part: float | None = None


def draw_bars(key: str, title: str, unit: str, bars: Sequence[Bar], part_name: str = "idle") -> Figure:
    """Return the longest bars; the rest is one bar of their sum, and the table has all."""
    ordered = sorted(bars, key=lambda bar: -bar.value)
    shown = (
        ordered if len(ordered) <= MOST_BARS else [*ordered[: MOST_BARS - 1], _rest(ordered[MOST_BARS - 1 :])]
    )
    most = max((bar.value for bar in shown), default=0.0) or 1.0
    inner, outer = list[str](), list[str]()
    for number, bar in enumerate(shown):
        y = number * _ROW + 18
        wide = bar.value / most * WIDE
        inner.append(
            f'<rect class="bar" y="{format_place(y)}" width="{format_place(max(wide, 1))}" height="14"/>'
        )
        if bar.part:
            inner.append(
                f'<rect class="part" y="{format_place(y)}" width="{format_place(wide * min(bar.part, 1))}" height="14"/>'
            )
        outer.append(
            f'<text class="name" x="0" y="{format_place(22 + y - 5)}">{escape_text(_spoken(bar, unit, part_name))}</text>'
        )
    has_parts = any(bar.part is not None for bar in bars)
    header = ("", unit, *([f"{part_name}, %"] if has_parts else []))
    rows = [
        (bar.name, format_number(bar.value), *([_percent(bar.part)] if has_parts else [])) for bar in ordered
    ]
    tall = _ROW * max(len(shown), 1)
    return Figure(
        key=key,
        title=title,
        summary=" ".join(f"{_spoken(bar, unit, part_name)}." for bar in shown) or "Nothing is known.",
        drawing=frame_plot("".join(inner), None, None, "".join(outer), tall),
        values=Values(header, rows),
        legend=[("bar", unit), *([("part", part_name)] if has_parts else [])],
        tall=tall,
        is_flush=True,
    )


def _rest(bars: Sequence[Bar]) -> Bar:
    total = sum(bar.value for bar in bars)
    part = sum(bar.value * (bar.part or 0.0) for bar in bars)
    return Bar(f"{len(bars)} others", total, part / total if total else None)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.0f}"


def _spoken(bar: Bar, unit: str, part_name: str) -> str:
    part = f", {bar.part:.0%} {part_name}" if bar.part else ""
    return f"{bar.name}: {format_number(bar.value)} {unit}{part}"
