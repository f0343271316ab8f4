"""A plan as JSON; docs/reference/json.md describes every key.  It has all that a later plan is compared with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...cluster_profiles.local_time import format_utc
from ...estimator.campaign.campaign import Mode, PlannedJob
from ...estimator.campaign.changes import Change
from ...estimator.campaign.definition.shapes import JobShape
from ...estimator.campaign.plan import Plan
from ...estimator.ranges import Range
from ...launcher.submission.request import request_of

SCHEMA = 1


def plan_as_dict(
    plan: Plan,
    shapes: Mapping[tuple[str, Mode], JobShape],
    changes: Sequence[Change],
    files: Mapping[str, Path | None],
) -> dict[str, Any]:
    """Return the keys of a plan: the answer, the caps, the jobs in order of start, and what would help late jobs."""
    campaign, end = plan.campaign, plan.end_range_s
    return {
        "schema": SCHEMA,
        "campaign": campaign.name,
        "objective": str(campaign.objective),
        "planned_utc": format_utc(campaign.now_s),
        "end_utc": format_utc(plan.end_s),
        "end_in_s": _range(end),
        "gpu_hours": plan.gpu_hours,
        "value": plan.value,
        "bound": plan.bound,
        "gap": plan.gap,
        "proven": plan.is_proven,
        "solver": plan.solver,
        "late": [
            {
                "job": c.job,
                "late_s": c.later_s,
                "cap": c.pool,
                "more_gpus": c.more_gpus,
                "steps_share": c.share,
            }
            for c in changes
        ],
        "caps": [
            {
                "name": pool.name,
                "gpus": pool.gpus,
                "nodes": list(pool.nodes),
                "in_use": [[format_utc(time_s), gpus] for time_s, gpus in plan.gpus_in_use(pool.name)],
            }
            for pool in campaign.pools
        ],
        "jobs": [
            _job(plan, each, shapes.get((each.job, each.mode)), files.get(each.job)) for each in plan.planned
        ],
    }


def _job(plan: Plan, each: PlannedJob, shape: JobShape | None, file: Path | None) -> dict[str, Any]:
    job, mode, now_s = plan.campaign.job[each.job], each.mode, plan.campaign.now_s
    end_s = plan.ends_s[each.job]
    values: dict[str, Any] = {
        "job": each.job,
        "file": None if file is None else str(file),
        "cap": mode.pool,
        "gpus": mode.gpus,
        "nodes": mode.nodes,
        "on_nodes": list(each.nodes),
        "started": each.is_started,
        "start_utc": format_utc(each.start_s),
        "end_utc": format_utc(each.end_s),
        "end_in_s": _range(end_s),
        "duration_s": {"p50": mode.p50_s, "p90": mode.p90_s},
        "segments": mode.segments,
        "gpu_hours": mode.gpu_hours,
        "priority": job.weight,
        "after": list(job.after),
        "deadline_utc": format_utc(job.deadline_s),
        "slack_s": plan.slack_s(each),
        "in_time": None if job.deadline_s is None else now_s + end_s.p90 <= job.deadline_s,
    }
    if shape:
        training = shape.estimate.workload.training
        request = request_of(shape.estimate)
        values |= {
            "partition": shape.estimate.placement.partition_name,
            "gpu": shape.estimate.placement.gpu_type,
            "batch_size": training.batch_size,
            "accumulation": training.accumulation,
            "time": request.time,
            "source": str(shape.estimate.step_time.source.kind),
        }
    return values


def _range(amount: Range) -> dict[str, float]:
    return {"p10": amount.p10, "p50": amount.p50, "p90": amount.p90}
