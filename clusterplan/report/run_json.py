"""A run's report as JSON; docs/reference/json.md describes every key."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..estimator.run_report import RunReport
from ..estimator.utilisation import Note


def one(report: RunReport) -> dict[str, Any]:
    """The whole report."""
    return {
        "run": report.run,
        "name": report.name,
        "state": report.state,
        "began_utc": report.began_utc,
        "duration_s": report.seconds,
        "gpu_hours": report.gpu_hours,
        "energy_kwh": report.energy_kwh,
        "utilisation_mean": report.utilisation_mean,
        "coverage": report.coverage,
        "attribution_guessed": report.guessed,
        "gpus": [asdict(gpu) for gpu in report.gpus],
        "notes": notes(report.notes),
    }


def notes(found: Sequence[Note]) -> list[dict[str, Any]]:
    """What stood out."""
    return [{"code": note.code, "text": note.text, "gpus": list(note.uuids)} for note in found]
