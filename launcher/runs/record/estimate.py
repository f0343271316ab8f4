"""The estimate that a run was submitted with, as a row of the history."""

from collections.abc import Mapping
from typing import Any

from ...slurm.text import parse_limit_s

_QUANTILES = {"step_time": ("p10", "p50", "p90"), "wall_clock": ("p10", "p50", "p90", "p95")}


def estimate_row(
    document: Mapping[str, Any], request: Mapping[str, Any], run: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the row of a document of `clusterplan estimate --json`; None where nothing was estimated.

    `request` and `run` are the values of request.json and run.json.  The wall-clock is that of a whole training in one
    shape: it is left out if the run goes on from another, or went on in another shape.
    """
    source, created_s = document.get("source"), run.get("began_s")
    if not isinstance(source, dict) or not isinstance(created_s, int | float):
        return None
    is_whole = not (run.get("resumes") or run.get("shape_since_s"))
    row = {
        "created_s": created_s,
        "source": source.get("text", ""),
        "source_kind": "calibrated" if source.get("calibrated") else source.get("kind"),
        "runs": source.get("runs"),
        "walltime_s": _walltime_s(document.get("request")) if is_whole else None,
        "walltime_asked_s": _walltime_s(request) if is_whole else None,
        "segments": request.get("segments"),
    }
    for name, quantiles in _QUANTILES.items():
        quantity = document.get(f"{name}_s") if is_whole or name == "step_time" else None
        for q in quantiles:
            row[f"{name}_{q}_s"] = quantity.get(q) if isinstance(quantity, dict) else None
    return row


def _walltime_s(request: object) -> float | None:
    time = request.get("time") if isinstance(request, Mapping) else None
    return parse_limit_s(time) if isinstance(time, str) else None
