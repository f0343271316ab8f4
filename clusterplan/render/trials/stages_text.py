"""The stages of a job: what each takes, and what has to hold at its end."""

from collections.abc import Sequence
from typing import Any

from ...cluster_profiles.units import format_count, format_duration, format_significant
from ...estimator.estimate.shapes import Verdicts
from ...estimator.ranges import Range
from ...estimator.stages.stages import Stage
from ...launcher.submission.submission import Submission
from ..estimate.as_dict import estimate_as_dict
from ..layout import Page

_UNKNOWN = "unknown"


def write_stages(page: Page, stages: Sequence[Stage]) -> None:
    """Write a row for each stage, and what has to hold before the next one begins."""
    has_cost = any(stage.estimate.cost for stage in stages)
    page.table(
        ("stage", "steps", "time", "P10 to P90", "GPU-hours", *(["cost"] * has_cost), "check to pass"),
        [
            (
                stage.name,
                format_count(stage.estimate.steps.total),
                *_time(stage.estimate.clock.total),
                _number(stage.estimate.gpu_hours),
                *(
                    [f"{_number(cost.amount)} {cost.currency}" if (cost := stage.estimate.cost) else ""]
                    * has_cost
                ),
                stage.check.text if stage.check else "",
            )
            for stage in stages
        ],
        right=(1, 2, 3, 4, 5) if has_cost else (1, 2, 3, 4),
    )
    page.line()
    page.sentence(
        "each stage is a run with an {output} of its own, and begins if the one before passed its check: "
        "`clusterplan submit JOB --progressive`"
    )
    for advice in stages[0].estimate.warnings:
        if advice.code == "throughput-unknown":
            page.sentence(advice.text)


def stages_as_dict(stages: Sequence[Stage]) -> dict[str, Any]:
    """Return the keys of `estimate --progressive --json`."""
    return {
        "stages": [
            {
                "share": float(stage.share),
                "check": stage.check.as_dict() if stage.check else None,
                **estimate_as_dict(stage.estimate, Verdicts(None, None)),
            }
            for stage in stages
        ]
    }


def write_submitted_stages(page: Page, stages: Sequence[Stage], submissions: Sequence[Submission]) -> None:
    """Write the run of each stage, and what has to hold before the next one begins."""
    rows = [
        (stage.name, submission.runs[0], submission.decision.request.time, stage)
        for stage, submission in zip(stages, submissions, strict=True)
    ]
    page.table(
        ("stage", "run", "job", "steps", "time", "walltime", "check to pass"),
        [
            (
                name,
                run.run,
                run.job_id,
                format_count(stage.estimate.steps.total),
                _time(stage.estimate.clock.total)[0],
                walltime or "",
                stage.check.text if stage.check else "",
            )
            for name, run, walltime, stage in rows
        ],
        right=(3, 4),
    )
    page.line()
    page.line(f"clusterplan status {rows[0][1].run}")


def _time(seconds: Range | None) -> tuple[str, str]:
    if seconds is None:
        return _UNKNOWN, ""
    return format_duration(seconds.p50), f"{format_duration(seconds.p10)} to {format_duration(seconds.p90)}"


def _number(amount: Range | None) -> str:
    return format_significant(amount.p50) if amount else ""
