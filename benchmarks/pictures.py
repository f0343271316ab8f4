"""The two pictures of the page on accuracy, as SVG in colours that are readable on white and on black."""

import math
from collections.abc import Sequence
from pathlib import Path

from accuracy_report import FACTOR_NAMES, FACTORS, ON_PAGE, TASKS, Results
from protocols import PILOT_GPUS
from scores import ERNEST, LINEAR, OURS, QUANTILES, error_by_factor, pilot_error

GREY = "#7d7d7d"
COLOURS = {OURS: "#2f7fd6", LINEAR: "#c9741a", ERNEST: "#2c9a62"}
QUANTILE_COLOURS = ("#2c9a62", "#2f7fd6", "#c9741a")
WIDTH, PANEL, LEFT, GAP = 760, 280, 110, 60


def write_pictures(results: Results, folder: Path) -> None:
    """Write `accuracy-calibration.svg` and `accuracy-distance.svg` into the folder."""
    (folder / "accuracy-calibration.svg").write_text(draw_calibration(results), encoding="utf-8")
    (folder / "accuracy-distance.svg").write_text(draw_distance(results), encoding="utf-8")


def draw_calibration(results: Results) -> str:
    """Draw by source which share of the truths is at most P10, P50 and P90: dots that should be on the lines."""
    scores = {task: results.scores[task] for task in ON_PAGE}
    names = sorted({name for by_source in scores.values() for name, s in by_source.items() if s.counts})
    bottom = 60 + 22 * len(names)
    shapes = []
    for panel, (task, by_source) in enumerate(scores.items()):
        left = LEFT + panel * (PANEL + GAP)
        shapes.append(text(left + PANEL / 2, 20, TASKS[task], "middle"))
        for quantile, colour in zip(QUANTILES, QUANTILE_COLOURS, strict=True):
            x = left + PANEL * quantile
            shapes += [
                line(x, 46, x, bottom, colour),
                text(x, 40, f"P{100 * quantile:.0f}", "middle", colour),
            ]
        shapes += [text(left + PANEL * x, bottom + 16, f"{100 * x:.0f} %", "middle") for x in (0, 0.5, 1)]
        for row, name in enumerate(names):
            y = 62 + 22 * row
            shapes.append(line(left, y, left + PANEL, y, GREY, 0.25))
            for share, colour in zip(
                by_source[name].at_most if name in by_source and by_source[name].counts else (),
                QUANTILE_COLOURS,
                strict=False,
            ):
                shapes.append(dot(left + PANEL * share, y, colour))
    shapes += [text(LEFT - 12, 66 + 22 * row, name, "end") for row, name in enumerate(names)]
    return picture(shapes, bottom + 24, "Share of the truths at or below P10, P50 and P90, by source")


def draw_distance(results: Results) -> str:
    """Draw the mean error against the factor of GPUs, and against the number of runs."""
    methods = (OURS, LINEAR, ERNEST)
    by_factor = {m: [e for e, _ in error_by_factor(results.on_page, m, FACTORS)] for m in methods}
    by_runs = {m: [pilot_error(results.pilots, k, m, beyond=True) for k in PILOT_GPUS] for m in methods}
    panels = (
        ("GPUs asked / largest measured", FACTOR_NAMES, by_factor),
        ("pilot runs; more GPUs or nodes asked", [str(k) for k in PILOT_GPUS], by_runs),
    )
    shapes = [text(LEFT + 150 * i, 18, m, "start", COLOURS[m]) for i, m in enumerate(methods)]
    for panel, (title, names, curves) in enumerate(panels):
        left = LEFT + panel * (PANEL + GAP)
        for error in (0.05, 0.1, 0.2, 0.4, 0.8):
            y = _height(error)
            shapes += [
                line(left, y, left + PANEL, y, GREY, 0.25),
                text(left - 8, y + 4, f"{100 * error:.0f} %", "end"),
            ]
        places = [left + PANEL * (i + 0.5) / len(names) for i in range(len(names))]
        shapes += [text(x, 244, name, "middle") for x, name in zip(places, names, strict=True)]
        shapes.append(text(left + PANEL / 2, 266, title, "middle"))
        for method, errors in curves.items():
            points = [(x, _height(e)) for x, e in zip(places, errors, strict=True) if not math.isnan(e)]
            shapes.append(polyline(points, COLOURS[method]))
            shapes += [dot(x, y, COLOURS[method]) for x, y in points]
    return picture(shapes, 276, "Mean error by distance from what was measured")


def _height(error: float) -> float:
    """Return the place of an error on a logarithmic axis from 4 to 100 %."""
    share = math.log(min(max(error, 0.04), 1) / 0.04) / math.log(25)
    return 226 - 190 * share


def text(x: float, y: float, words: str, anchor: str, colour: str = GREY) -> str:
    """Return words at a place."""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, opacity: float = 0.6) -> str:
    """Return a thin line."""
    ends = f'x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}"'
    return f'<line {ends} stroke="{colour}" stroke-opacity="{opacity}"/>'


def dot(x: float, y: float, colour: str) -> str:
    """Return a dot."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'


def polyline(points: Sequence[tuple[float, float]], colour: str) -> str:
    """Return a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'


def picture(shapes: Sequence[str], height: int, title: str) -> str:
    """Return the SVG of shapes."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f"<title>{title}</title>", *shapes, "</svg>", ""])
