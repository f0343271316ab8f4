"""A run's report as JSON; docs/reference/json.md describes every key."""

from dataclasses import asdict
from typing import Any

from ..estimator.footprint import Footprint
from ..estimator.run_report import RunReport


def one(report: RunReport, cost: Footprint | None) -> dict[str, Any]:
    """The whole report."""
    return {
        "run": report.run,
        "name": report.name,
        "state": report.state,
        "began_utc": report.began_utc,
        "duration_s": report.seconds,
        "gpu_hours": report.gpu_hours,
        "energy_kwh": report.energy_kwh,
        "footprint": None if cost is None else asdict(cost),
        "utilisation_mean": report.utilisation_mean,
        "sm_active_mean": report.sm_active_mean,
        "tensor_active_mean": report.tensor_active_mean,
        "coverage": report.coverage,
        "attribution_guessed": report.guessed,
        "gpus": [asdict(gpu) for gpu in report.gpus],
        "notes": [{"code": note.code, "text": note.text, "gpus": list(note.uuids)} for note in report.notes],
    }
