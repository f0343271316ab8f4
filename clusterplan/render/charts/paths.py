"""Points as SVG paths, in units of a plot."""

from collections.abc import Iterable, Sequence

from .escaped import format_place
from .scale import TALL, Axis

Point = tuple[float, float | None]  # None is not known: the line is broken there


def line_path(points: Iterable[Point], x: Axis, y: Axis, tall: float = TALL) -> str:
    """Return the path of a line through points; a point alone is a dot.

    >>> from .scale import Axis
    >>> line_path([(0, 0), (1, 1), (2, None), (3, 1)], Axis(0, 4, ()), Axis(0, 1, ()))
    'M0 180L250 0M750 0h0'
    """
    pieces, run = list[str](), list[str]()
    for at, value in (*points, (0.0, None)):
        if value is not None:
            run.append(f"{format_place(x.x(at))} {format_place(y.y(value, tall))}")
        elif run:
            pieces.append("M" + "L".join(run) + ("h0" if len(run) == 1 else ""))
            run = []
    return "".join(pieces)


def dots_path(points: Iterable[Point], x: Axis, y: Axis, tall: float = TALL) -> str:
    """Return the path of a dot at each point: lines without a length, whose ends are round."""
    return "".join(
        f"M{format_place(x.x(at))} {format_place(y.y(value, tall))}h0"
        for at, value in points
        if value is not None
    )


def area_path(
    points: Sequence[tuple[float, float | None, float | None]], x: Axis, y: Axis, tall: float = TALL
) -> str:
    """Return the path of the area between the low and the high value at each place; it is broken where one is not known."""
    pieces, run = list[str](), list[tuple[str, str, str]]()
    for at, low, high in (*points, (0.0, None, None)):
        if low is not None and high is not None:
            run.append((format_place(x.x(at)), format_place(y.y(low, tall)), format_place(y.y(high, tall))))
        elif run:
            over = "L".join(f"{place} {top}" for place, _, top in run)
            under = "L".join(f"{place} {bottom}" for place, bottom, _ in reversed(run))
            pieces.append(f"M{over}L{under}Z")
            run = []
    return "".join(pieces)
