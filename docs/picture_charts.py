"""Two pictures that no page of the program has: the loop, and runs in order with what was said of them before."""

from collections.abc import Sequence
from dataclasses import dataclass

from clusterplan.cluster_profiles.units import format_duration
from clusterplan.estimator.ranges import Range
from clusterplan.render.charts.escaped import escape_text, format_place
from clusterplan.render.charts.figure import STYLE, Figure, Values, frame_plot
from clusterplan.render.charts.scale import TALL, Axis, value_axis

_CARD_WIDTH, _CARD_HEIGHT, _GAP, _EDGE = 330, 118, 44, 12  # pixels
_BAR_LEFT, _BAR_WIDTH, _BAR_TOP = 16, 298, 92
_LOOP_STYLE = (
    ".chart text.step{font-size:17px;font-weight:600;fill:var(--ink)}.chart text.said{font-size:14px;fill:var(--ink)}"
    ".chart text.typed{font:13px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}"
    ".chart .card{fill:var(--soft);stroke:var(--hair)}.chart .head{fill:var(--ink)}.chart .arrow{stroke:var(--ink);stroke-width:2}"
)


@dataclass(frozen=True)
class ScoredRun:
    """A run: its shape in words, the step time that was estimated before it, and the one that it had; in seconds."""

    shape: str
    estimated: Range
    actual: float


def draw_calibration(runs: Sequence[ScoredRun]) -> Figure:
    """Return the estimates of runs in their order, each divided by what happened: 1 is right."""
    shares = [
        Range(*(value / run.actual for value in (run.estimated.p10, run.estimated.p50, run.estimated.p90)))
        for run in runs
    ]
    x = Axis(-0.1, len(runs) + 0.2, tuple((number + 0.5, run.shape) for number, run in enumerate(runs)))
    y = value_axis([1.0, *(value for share in shares for value in (share.p10, share.p90))], low=0.5)
    wide, shapes = x.x(0.28) - x.x(0), list[str]()
    for number, share in enumerate(shares):
        top, bottom = y.y(share.p90), y.y(share.p10)
        shapes.append(
            f'<rect class="range" x="{format_place(x.x(number + 0.36))}" y="{format_place(top)}" '
            f'width="{format_place(wide)}" height="{format_place(max(bottom - top, 2))}"/>'
            f'<path class="s0" d="M{format_place(x.x(number + 0.36))} {format_place(y.y(share.p50))}h{format_place(wide)}"/>'
        )
    shapes.append(f'<path class="s1" d="M0 {format_place(y.y(1))}H1000"/>')
    inside = sum(share.p10 <= 1 <= share.p90 for share in shares)
    cells = [
        (run.shape, *(f"{value:.2f}" for value in (share.p10, share.p50, share.p90)))
        for run, share in zip(runs, shares, strict=True)
    ]
    return Figure(
        key="calibration",
        title=f"Step time, estimated / measured: {inside} of {len(runs)} runs were in their range",
        summary=" ".join(f"{shape}: {middle} ({low} to {high})." for shape, low, middle, high in cells),
        drawing=frame_plot("".join(shapes), x, y, "", TALL),
        values=Values(("run", "P10", "P50", "P90"), cells),
        legend=[("range", "estimate, P10 to P90"), ("s0", "P50"), ("s1", "measured")],
    )


@dataclass(frozen=True)
class Card:
    """A step of the loop: its name, the command, what came of it; and the times on the scale of all cards, in seconds."""

    name: str
    command: str
    result: str
    estimated: Range | None = None
    actual: float | None = None


def draw_loop(cards: Sequence[Card]) -> str:
    """Return the four steps of the loop as an SVG file: clockwise, from the upper left."""
    times = [
        value
        for card in cards
        for value in (card.actual, *((card.estimated.p10, card.estimated.p90) if card.estimated else ()))
        if value
    ]
    spread = max(times) - min(times) or 1.0
    scale = Axis(min(times) - spread / 4, max(times) + spread / 4, ())
    right, below = _CARD_WIDTH + _GAP, _CARD_HEIGHT + _GAP
    places = ((0, 0), (right, 0), (right, below), (0, below))
    width, height = _CARD_WIDTH * 2 + _GAP + 2 * _EDGE, _CARD_HEIGHT * 2 + _GAP + 2 * _EDGE
    spoken = " ".join(f"{card.name}: {card.command}: {card.result}." for card in cards)
    middle, half = _CARD_HEIGHT / 2, _CARD_WIDTH / 2
    arrows = (
        _arrow(_CARD_WIDTH + 6, middle, _GAP - 12, 0)
        + _arrow(right + half, _CARD_HEIGHT + 6, 0, _GAP - 12)
        + _arrow(right - 6, below + middle, 12 - _GAP, 0)
        + _arrow(half, below - 6, 0, 12 - _GAP)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" class="chart picture" aria-label="The loop"><title>The loop</title><desc>{escape_text(spoken)}</desc>'
        f'<style>{STYLE}{_LOOP_STYLE}</style><rect class="paper" width="100%" height="100%"/><g transform="translate({_EDGE} {_EDGE})">'
        + "".join(_card(card, *place, scale) for card, place in zip(cards, places, strict=True))
        + f"{arrows}</g></svg>\n"
    )


def _card(card: Card, left: int, top: int, scale: Axis) -> str:
    parts = [
        f'<rect class="card" width="{_CARD_WIDTH}" height="{_CARD_HEIGHT}" rx="8"/>',
        f'<text class="step" x="16" y="27">{escape_text(card.name)}</text>',
        f'<text class="typed" x="16" y="49">{escape_text(card.command)}</text>',
        f'<text class="said" x="16" y="73">{escape_text(card.result)}</text>',
    ]
    if card.estimated or card.actual:
        parts.append(f'<path class="grid" d="M{_BAR_LEFT} {_BAR_TOP + 6}h{_BAR_WIDTH}"/>')
    if card.estimated:
        low, high = _place(scale, card.estimated.p10), _place(scale, card.estimated.p90)
        parts.append(
            f'<rect class="range" x="{low:.1f}" y="{_BAR_TOP}" width="{max(high - low, 2):.1f}" height="12"/>'
            f'<path class="s0" d="M{_place(scale, card.estimated.p50):.1f} {_BAR_TOP - 2}v16"/>'
        )
    if card.actual:
        parts.append(f'<path class="s1 dots large" d="M{_place(scale, card.actual):.1f} {_BAR_TOP + 6}h0"/>')
    return f'<g transform="translate({left} {top})">{"".join(parts)}</g>'


def _place(scale: Axis, value: float) -> float:
    return _BAR_LEFT + scale.share(value) * _BAR_WIDTH


def _arrow(x: float, y: float, across: float, down: float) -> str:
    """Draw an arrow from a point by so many pixels across or down."""
    length = abs(across or down)
    back_x, back_y = (across and across / length * 8), (down and down / length * 8)
    end_x, end_y = x + across, y + down
    side_x, side_y = back_y / 8 * 5, back_x / 8 * 5
    head = (
        f"M{end_x:.0f} {end_y:.0f}L{end_x - back_x + side_x:.0f} {end_y - back_y + side_y:.0f}"
        f"L{end_x - back_x - side_x:.0f} {end_y - back_y - side_y:.0f}Z"
    )
    return f'<path class="arrow" d="M{x:.0f} {y:.0f}L{end_x - back_x:.0f} {end_y - back_y:.0f}"/><path class="arrow head" style="fill:var(--ink)" d="{head}"/>'


def describe_range(times: Range) -> str:
    """Return a range as the cards have it.

    >>> describe_range(Range(33.0, 34.7, 36.6))
    '33s to 36.6s'
    """
    return f"{format_duration(times.p10)} to {format_duration(times.p90)}"
