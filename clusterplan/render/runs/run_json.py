"""A run's report as JSON; docs/reference/json.md describes every key."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ...estimator.cost.run_cost import RunCost
from ...estimator.gpu_use.notes import Note
from ...estimator.gpu_use.reading import DISPLAYS
from ...estimator.gpu_use.report import GpuReport, RunReport
from ...launcher.runs.run_status import RunStatus
from .ending_text import ending_as_json


def report_as_json(
    report: RunReport, cost: RunCost | None, status: RunStatus | None = None
) -> dict[str, Any]:
    """Return the whole report."""
    return {
        "run": report.run,
        "name": report.name,
        "state": status.state.state if status else report.state,
        "reason": status.state.reason if status else None,
        "steps_done": status.progress.steps_done if status and status.progress else None,
        "steps_total": status.progress.total if status and status.progress else None,
        **ending_as_json(status),
        "began_utc": report.began_utc,
        "started_utc": report.started_utc,
        "waited_s": report.waited_s,
        "duration_s": report.seconds,
        "gpu_hours": report.gpu_hours,
        "energy_kwh": report.energy_kwh,
        "energy_source": report.energy_source,
        "footprint": None if cost is None else asdict(cost),
        **{s.column: report.mean(s.column) for s in DISPLAYS if s.gauge and s.gauge.per_run},
        "precision_planned": report.precision_planned,
        "precision_seen": report.precision_seen,
        "coverage": report.coverage,
        "attribution_guessed": report.attribution_guessed,
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
        "gpus": [_gpu(gpu) for gpu in report.gpus],
        "unsampled": list(report.unsampled),
        "notes": notes_as_json(report.notes),
        "notes_of_s": report.notes_of_s,
    }


def notes_as_json(notes: Sequence[Note]) -> list[dict[str, Any]]:
    """Return the notes, each with the UUIDs of the GPUs it holds for."""
    return [{"code": note.code, "text": note.text, "gpus": list(note.uuids)} for note in notes]


def _gpu(gpu: GpuReport) -> dict[str, Any]:
    return {
        "uuid": gpu.uuid,
        "node": gpu.node,
        "index": gpu.index,
        "place": gpu.place,
        "name": gpu.name,
        **gpu.metrics,
        "memory_bytes": gpu.memory_bytes,
        "power_limit_w": gpu.power_limit_w,
        "ticks": gpu.ticks,
        "course": gpu.timeline,
    }
