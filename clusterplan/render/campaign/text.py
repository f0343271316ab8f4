"""A plan as a person reads it: when all end, who runs when, the jobs over time, and what would help late ones."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from ...cluster_profiles.local_time import format_local_time
from ...cluster_profiles.units import format_duration, format_significant, join_names, plural
from ...estimator.campaign.campaign import Mode, Objective, PlannedJob
from ...estimator.campaign.changes import Change
from ...estimator.campaign.definition.shapes import JobShape
from ...estimator.campaign.plan import Plan
from ..layout import Page, Style
from .gantt import gantt_rows, use_rows

_HOUR_S = 3600.0
_FULL = 0.005  # of the bound: a plan so near is called the best
_LEAST_SHARE = 0.05  # of a job's steps that is worth training
Row = tuple[str, str, str]


def write_plan(
    page: Page, plan: Plan, shapes: Mapping[tuple[str, Mode], JobShape], changes: Sequence[Change]
) -> None:
    """Write the answer, a row for each job, the jobs over time, and what would help late jobs."""
    page.facts(_head(plan))
    page.line()
    _write_jobs(page, plan)
    page.line()
    page.table(("over time", axis_text(plan)), gantt_rows(plan))
    page.line()
    page.table(("in use", "of", "over time"), use_rows(plan), right=(1,))
    page.line()
    for text in _late_lines(plan, shapes, changes):
        page.sentence(text)
    for text in _basis_lines(plan):
        page.sentence(text)


def progress_text(value: float, bound: float | None, objective: str | None) -> str:
    """Return the best plan so far in one line, for while a better one is looked for; an objective of None is the end."""
    what = {Objective.GPU_HOURS: f"{format_significant(value)} GPU-hours"}.get(
        Objective(objective or Objective.END), f"{format_duration(value)} to the end of all"
    )
    if objective == Objective.COMPLETION:
        what = "weighted completion"
    near = f", at most {value / bound - 1:.1%} above the best" if bound else ""
    return f"planning: {what}{near}; Ctrl-C takes it"


def axis_text(plan: Plan) -> str:
    """Return from when to when the bars reach."""
    now_s = plan.campaign.now_s
    return f"{format_short(now_s, now_s)} to {format_short(plan.end_s, now_s)}, {format_duration(plan.end_s - now_s)}"


def format_short(time_s: float, now_s: float) -> str:
    """Return a time of a plan: the weekday too, and the date where it is more than six days away."""
    moment = datetime.fromtimestamp(time_s).astimezone()
    far = abs(time_s - now_s) > 6 * 24 * _HOUR_S
    return f"{moment:%b %d %H:%M}" if far else f"{moment:%a %H:%M}"


def _head(plan: Plan) -> list[Row]:
    now_s, spread = plan.campaign.now_s, plan.end_range_s
    end = f"{format_duration(spread.p50)} to {format_duration(spread.p90)} from now (P50 to P90)"
    rows = [("all end", format_local_time(plan.end_s, now_s), end)]
    pools = plan.campaign.pools
    caps = join_names(f"{plural(pool.gpus, 'GPU')} ({pool.name})" for pool in pools)
    rows.append(
        ("GPU-hours", format_significant(plan.gpu_hours), f"for {plural(len(plan.planned), 'job')} on {caps}")
    )
    with_deadline = [each for each in plan.planned if plan.slack_s(each) is not None]
    if with_deadline:
        met = len(with_deadline) - len(plan.late)
        late = f"not by {join_names(each.job for each in plan.late)}: see below" if plan.late else "at P90"
        rows.append(("deadlines", f"{met} of {len(with_deadline)} met", late))
    rows.append(("how good", *_goodness(plan)))
    return rows


def _goodness(plan: Plan) -> tuple[str, str]:
    what = {
        Objective.END: "the end of all",
        Objective.GPU_HOURS: "the GPU-hours",
        Objective.COMPLETION: "the weighted completion",
    }[plan.campaign.objective]
    if plan.gap <= _FULL:
        return "best", f"no plan makes {what} smaller by more than {max(plan.gap, 0.001):.1%}"
    bound = ""
    if plan.campaign.objective is Objective.END:
        bound = f"; no plan ends before {format_local_time(plan.campaign.now_s + plan.bound, plan.campaign.now_s)}"
    return f"within {plan.gap:.1%}", f"{what} is at most so much above the best{bound}"


def _write_jobs(page: Page, plan: Plan) -> None:
    now_s = plan.campaign.now_s
    rows = [_job_row(plan, each, now_s) for each in plan.planned]
    if len(plan.campaign.pools) == 1:
        rows = [{title: cell for title, cell in row.items() if title != "cap"} for row in rows]
    titles = list(rows[0]) if rows else []
    page.mark({row["slack"]: Style.BAD for row in rows if row["slack"].startswith("-")})
    page.table(
        titles,
        [list(row.values()) for row in rows],
        right=[titles.index(title) for title in ("GPUs", "nodes", "GPU-hours", "slack", "segments")],
        first_to_go=("segments", "nodes", "GPU-hours", "slack"),
    )


def _job_row(plan: Plan, each: PlannedJob, now_s: float) -> dict[str, str]:
    slack_s = plan.slack_s(each)
    starts = "now" if each.start_s <= now_s else format_short(each.start_s, now_s)
    return {
        "job": each.job,
        "GPUs": f"{each.mode.gpus:,}",
        "nodes": f"{each.mode.nodes:,}",
        "cap": each.mode.pool,
        "starts": "runs" if each.is_started else starts,
        "ends, P50 to P90": _ends(plan, each),
        "GPU-hours": format_significant(each.mode.gpu_hours),
        "slack": "" if slack_s is None else ("-" if slack_s < 0 else "") + format_duration(abs(slack_s)),
        "segments": f"{each.mode.segments:,}" if each.mode.segments > 1 else "",
    }


def _ends(plan: Plan, each: PlannedJob) -> str:
    now_s, end_s = plan.campaign.now_s, plan.ends_s[each.job]
    return f"{format_short(now_s + end_s.p50, now_s)} to {format_short(now_s + end_s.p90, now_s)}"


def _late_lines(
    plan: Plan, shapes: Mapping[tuple[str, Mode], JobShape], changes: Sequence[Change]
) -> list[str]:
    lines = []
    for change in changes:
        each = next(each for each in plan.planned if each.job == change.job)
        deadline_s = plan.campaign.job[change.job].deadline_s or 0.0
        ways = [f"a deadline {format_duration(_up_to_hour(change.later_s))} later"]
        if change.more_gpus:
            ways.append(f"{change.more_gpus} more GPUs of {change.pool}")
        if change.share and change.share >= _LEAST_SHARE:
            ways.append(_less_to_train(change.share, shapes.get((change.job, each.mode))))
        missed = format_duration(change.later_s)
        due = format_local_time(deadline_s, plan.campaign.now_s)
        lines.append(
            f"{change.job} misses {due} by {missed} at P90: it would be in time with {join_names(ways, between=', or ')}"
        )
    return lines


def _less_to_train(share: float, shape: JobShape | None) -> str:
    """Return the training that is left of a job in words: whole epochs if there are several."""
    epochs = float(shape.estimate.workload.training.epochs or 0) if shape else 0.0
    if epochs * share >= 1:
        return f"{int(epochs * share)} of its {epochs:g} epochs"
    return f"{int(100 * share)} % of its steps"


def _up_to_hour(seconds: float) -> float:
    return -(-seconds // _HOUR_S) * _HOUR_S


def _basis_lines(plan: Plan) -> list[str]:
    lines = [
        "the plan is by P50 of each duration; deadlines and slack are by P90, late jobs before it included"
    ]
    if any(each.mode.segments > 1 for each in plan.planned):
        lines.append(
            "segments are Slurm jobs in a row under the time limit; the GPUs are kept for the 2 minutes between them"
        )
    if any(busy.reason in ("taken", "queue") for busy in plan.campaign.busy):
        lines.append("GPUs that others have are left to them")
    return lines
