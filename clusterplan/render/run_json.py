"""A run's report as JSON; docs/reference/json.md describes every key."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..estimator.gpu_use.cost import RunCost
from ..estimator.gpu_use.notes import Note
from ..estimator.gpu_use.report import RunReport


def one(report: RunReport, cost: RunCost | None) -> dict[str, Any]:
    """The whole report."""
    return {
        "run": report.run,
        "name": report.name,
        "state": report.state,
        "began_utc": report.began_utc,
        "started_utc": report.started_utc,
        "waited_s": report.waited_s,
        "duration_s": report.seconds,
        "gpu_hours": report.gpu_hours,
        "energy_kwh": report.energy_kwh,
        "footprint": None if cost is None else asdict(cost),
        "utilisation_mean": report.utilisation_mean,
        "sm_active_mean": report.sm_active_mean,
        "tensor_active_mean": report.tensor_active_mean,
        "precision_planned": report.precision_planned,
        "precision_seen": report.precision_seen,
        "coverage": report.coverage,
        "attribution_guessed": report.guessed,
        "forecasts": [
            {
                "what": f.what,
                "estimated_s": asdict(f.estimated),
                "actual_s": f.actual,
                "inside": f.inside,
                "source": f.source,
            }
            for f in report.forecasts
        ],
        "gpus": [asdict(gpu) for gpu in report.gpus],
        "unsampled": list(report.unsampled),
        "notes": notes(report.notes),
    }


def notes(found: Sequence[Note]) -> list[dict[str, Any]]:
    """What stood out."""
    return [{"code": note.code, "text": note.text, "gpus": list(note.uuids)} for note in found]
