"""The most GPUs that are worth it, in a line."""

from collections.abc import Sequence

from ...estimator.estimate.estimate import Estimate
from ...estimator.estimate.shapes import WORTHWHILE, efficiency, find_knee


def knee_line(estimates: Sequence[Estimate], names: Sequence[str]) -> str | None:
    """Return the largest shape that is worth its GPUs, and the range in which it may be; None if that cannot be said."""
    counts = [e.placement.gpus for e in estimates]
    if len({*counts}) < len(counts) or any(efficiency(estimates, e) is None for e in estimates):
        return None
    beyond = f"beyond {names[counts.index(max(counts))]}"
    low, middle, high = (
        beyond if i is None else names[i] for i in (find_knee(estimates, q) for q in ("p10", "p50", "p90"))
    )
    text = f"knee: {middle}, the most with an efficiency of at least {WORTHWHILE:.0%}"
    if middle == beyond:
        text = f"knee: {beyond}; every count here keeps {WORTHWHILE:.0%} efficiency, so more may still pay"
    return text if low == high else f"{text} ({low} at P10, {high} at P90)"
