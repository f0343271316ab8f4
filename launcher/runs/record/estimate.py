"""The estimate that a run was submitted with, as a row of the history."""

from typing import Any

from ...run_folder.records.booking import Booking
from ...run_folder.records.estimate import EstimateFile
from ...run_folder.records.run_facts import RunFacts
from ...slurm.text import parse_limit_s

_QUANTILES = {"step_time": ("p10", "p50", "p90"), "wall_clock": ("p10", "p50", "p90", "p95")}


def estimate_row(estimate: EstimateFile, booking: Booking, run: RunFacts) -> dict[str, Any] | None:
    """Return the row of an estimate; None where nothing was estimated.

    `booking` is what the run asked for.  The wall-clock is that of a whole training in one shape: it is left out if the
    run goes on from another, or went on in another shape.
    """
    source, created_s = estimate.source, run.get("began_s")
    if source is None or created_s is None:
        return None
    is_whole = not (run.get("resumes") or run.get("shape_since_s"))
    row = {
        "created_s": created_s,
        "source": source.text,
        "source_kind": "calibrated" if source.calibrated else source.kind,
        "runs": source.runs,
        "walltime_s": _walltime_s(estimate.request.time if estimate.request else None) if is_whole else None,
        "walltime_asked_s": _walltime_s(booking.time) if is_whole else None,
        "segments": booking.segments,
    }
    quantities = {
        "step_time": estimate.step_time_s,
        "wall_clock": estimate.wall_clock_s if is_whole else None,
    }
    for name, quantiles in _QUANTILES.items():
        for q in quantiles:
            row[f"{name}_{q}_s"] = getattr(quantities[name], q, None)
    return row


def _walltime_s(time: str | None) -> float | None:
    return parse_limit_s(time) if time is not None else None
