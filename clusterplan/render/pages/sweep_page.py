"""The runs of a sweep side by side, as an HTML file that can be mailed."""

from collections.abc import Sequence

from ..charts.bar_chart import Bar, draw_bars
from ..charts.escaped import escape_text
from ..charts.figure import Figure
from ..charts.line_chart import Line, Lines, draw_lines
from ..runs.sweep_text import SWEEP_HEADER, SweepRun, describe_sweep, order_runs, sweep_cells
from .document import render_document
from .parts import render_section, render_sentences, render_table

NO_LOSSES = "No run tells its losses."
_MOST_LINES = 5  # colours of a chart


def render_sweep_page(name: str, runs: Sequence[SweepRun], written_utc: str) -> str:
    """Return the comparison as the text of one HTML file."""
    ordered = order_runs(runs)
    names = list(dict.fromkeys(key for run in runs for key in run.status.sweep))
    rows = [(*(run.status.sweep.get(key, "") for key in names), *sweep_cells(run)) for run in ordered]
    right = range(len(names) + 2, len(names) + len(SWEEP_HEADER))
    table = render_table("Runs, the best first", (*names, *SWEEP_HEADER), rows, right=right)
    losses, cost = draw_losses(ordered), draw_cost(ordered)
    body = (
        f"<main><header><h1>{escape_text(name)}</h1><p>{escape_text(describe_sweep(runs))}</p></header>"
        + render_section("runs", "Runs, the best first", [table])
        + render_section("losses", "Losses", [losses or render_sentences([NO_LOSSES])])
        + render_section("cost", "Cost", [cost] if cost else [])
        + f"<footer><p>Written by clusterplan {escape_text(written_utc)}. This file asks nothing of a network.</p></footer></main>"
    )
    return render_document(f"{name}: clusterplan sweep", body)


def draw_losses(ordered: Sequence[SweepRun]) -> Figure | None:
    """Return the losses of the first runs that tell them; None if no run does."""
    lines = [Line(run.values or run.status.run, run.losses) for run in ordered if run.losses]
    if not lines:
        return None
    remarks = [f"The best {_MOST_LINES} of {len(lines)} runs are drawn."] if len(lines) > _MOST_LINES else []
    return draw_lines(Lines("loss", "Loss by step", "", lines[:_MOST_LINES], remarks))


def draw_cost(ordered: Sequence[SweepRun]) -> Figure | None:
    """Return the GPU-hours of each run; None if none are known."""
    bars = [Bar(run.values or run.status.run, run.gpu_hours) for run in ordered if run.gpu_hours]
    return draw_bars("hours", "GPU-hours by run", "GPU-hours", bars) if bars else None
