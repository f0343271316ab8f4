"""A submitted campaign as text and as JSON: the plan against what happened, what moved, and what to do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from ...cluster_profiles.local_time import format_local_time, format_utc
from ...cluster_profiles.units import HOUR_S, format_duration, format_significant, plural
from ...estimator.campaign.launching.actions import Action, Do
from ...estimator.campaign.launching.happened import Fate, Happened
from ...estimator.campaign.replan import Move
from ...launcher.campaigns.record import CampaignJobRecord, CampaignRecord, PlannedRecord
from ..layout import Page, Style
from .text import format_short

SCHEMA = 1
_OPEN = (Fate.PENDING, Fate.RUNNING, Fate.WAITING, Fate.BLOCKED)


class Progress(Protocol):
    """What is shown."""

    @property
    def record(self) -> CampaignRecord: ...
    @property
    def happened(self) -> Mapping[str, Happened]: ...
    @property
    def now_s(self) -> float: ...
    @property
    def moves(self) -> Sequence[Move]: ...
    @property
    def actions(self) -> Sequence[Action]: ...
    @property
    def blocked(self) -> Mapping[str, str]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def is_changed(self) -> bool: ...
    @property
    def is_dry(self) -> bool: ...


def write_progress(page: Page, progress: Progress) -> None:
    """Write when all end, a row for each job, what was done, what moved and why, and what to do about failed jobs."""
    record, happened = progress.record, progress.happened
    page.facts(head_rows(progress))
    page.line()
    failed = {each.state: Style.BAD for each in happened.values() if each.fate is Fate.FAILED}
    page.mark(failed)
    page.table(
        JOB_HEADER,
        [job_cells(progress, job) for job in record.jobs],
        right=(2, 5, 6),
        first_to_go=("GPU-hours", "used", "GPUs"),
    )
    lines = list(progress_lines(progress))
    if lines:
        page.line()
    for text in lines:
        page.sentence(text)


def happened_to(progress: Progress, job: CampaignJobRecord) -> Happened:
    """Return what became of a job."""
    return _of(job, progress.happened)


def _of(job: CampaignJobRecord, happened: Mapping[str, Happened]) -> Happened:
    return happened.get(job.job) or Happened(Fate.WAITING, job.state)


def head_rows(progress: Progress) -> Iterator[tuple[str, str, str]]:
    """Yield how many jobs are in which state, when all end, and the GPU-hours."""
    record, happened, now_s, blocked = progress.record, progress.happened, progress.now_s, progress.blocked
    states = [state_of(progress, job) for job in record.jobs]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    yield "campaign", record.campaign, f"{plural(len(states), 'job')}: {counts}"
    planned_s = max((job.first.end_s for job in record.jobs), default=now_s)
    open_ends = [
        job.planned.end_s
        for job in record.jobs
        if _of(job, happened).fate in _OPEN and job.job not in blocked
    ]
    ends = [_of(job, happened).end_s or 0.0 for job in record.jobs]
    was = "is expected" if open_ends else "was"
    end_s = max(*open_ends, now_s) if open_ends else max(ends, default=now_s)
    yield "all end", format_local_time(end_s, now_s), f"{was}; planned {format_local_time(planned_s, now_s)}"
    hours = sum(_gpu_hours(job.first) for job in record.jobs)
    used = sum(_of(job, happened).gpu_s for job in record.jobs) / HOUR_S
    yield "GPU-hours", format_significant(used), f"used of {format_significant(hours)} planned"


def state_of(progress: Progress, job: CampaignJobRecord) -> str:
    """Return the state of a job in a word."""
    return "waits" if job.job in progress.blocked else happened_to(progress, job).state


def _gpu_hours(planned: PlannedRecord) -> float:
    return planned.gpus * planned.p50_s / HOUR_S


JOB_HEADER = ("job", "state", "GPUs", "planned", "was", "GPU-hours", "used")


def job_cells(progress: Progress, job: CampaignJobRecord) -> tuple[str, ...]:
    """Return the cells of a job under `JOB_HEADER`; what was planned is the first plan."""
    what, now_s = happened_to(progress, job), progress.now_s
    first, shape = job.first, job.planned
    return (
        job.job,
        state_of(progress, job),
        f"{shape.gpus:,}" if shape.gpus == first.gpus else f"{shape.gpus:,} (planned {first.gpus:,})",
        _span(first.start_s, first.end_s, now_s),
        _was(job, what, progress.blocked, now_s),
        format_significant(_gpu_hours(first)),
        format_significant(what.gpu_s / HOUR_S) if what.start_s is not None else "",
    )


def _was(job: CampaignJobRecord, what: Happened, blocked: Mapping[str, str], now_s: float) -> str:
    if job.job in blocked:
        return f"after {blocked[job.job]}"
    if what.start_s is None:
        is_expected = what.fate in _OPEN
        return f"expected {_span(job.planned.start_s, job.planned.end_s, now_s)}" if is_expected else ""
    if what.end_s is None:
        return f"since {format_short(what.start_s, now_s)}"
    return _span(what.start_s, what.end_s, now_s)


def _span(start_s: float, end_s: float, now_s: float) -> str:
    return f"{format_short(start_s, now_s)} to {format_short(end_s, now_s)}"


def progress_lines(progress: Progress) -> Iterator[str]:
    """Yield a sentence for each job that moved, that was submitted or cancelled, and that failed."""
    happened, jobs = progress.happened, progress.record.by_name
    for move in progress.moves:
        if move.before is not None:
            yield f"moved: {move.job}: {_place(move.before, progress.now_s)} -> {_place(move.after, progress.now_s)}: {move.reason}"
    would = "would be " if progress.is_dry else ""
    for do, word in ((Do.SUBMIT, "submitted"), (Do.RESUBMIT, "submitted again"), (Do.CANCEL, "cancelled")):
        these = [action for action in progress.actions if action.do is do]
        for why in dict.fromkeys(action.why for action in these):
            names = ", ".join(action.job for action in these if action.why == why)
            yield f"{would}{word}: {names}{f': {why}' if why else ''}"
    for name, what in happened.items():
        if what.fate is Fate.FAILED:
            reason = f": {what.reason}" if what.reason else ""
            yield f"{name}: {what.state}{reason}; {what.remedy or 'it is not submitted again'}"
    yield from _late_lines(progress)
    for failed in dict.fromkeys(progress.blocked.values()):
        waits = ", ".join(name for name, of in progress.blocked.items() if of == failed and name in jobs)
        yield f"waits for {failed}: {waits}"
    yield from progress.notes
    if not progress.is_changed:
        yield "nothing has changed since the last plan"


def _late_lines(progress: Progress) -> Iterator[str]:
    for job in progress.record.jobs:
        if job.deadline_s is not None and (late_s := _expected_end_s(progress, job) - job.deadline_s) > 0:
            yield f"{job.job}: expected to end {format_duration(late_s)} after its deadline"


def _expected_end_s(progress: Progress, job: CampaignJobRecord) -> float:
    """Return when a job that goes on, or will begin, ends at P50; 0 of any other."""
    what = happened_to(progress, job)
    if what.fate not in _OPEN or job.job in progress.blocked:
        return 0.0
    return job.planned.end_s if what.left_s is None else progress.now_s + what.left_s


def _place(each: Any, now_s: float) -> str:
    return f"{format_short(each.start_s, now_s)} on {plural(each.mode.gpus, 'GPU')}"


def progress_as_dict(progress: Progress) -> dict[str, Any]:
    """Return the keys of `schedule --submit --json` and `--replan --json`; docs/reference/json.md describes them."""
    record = progress.record
    return {
        "schema": SCHEMA,
        "campaign": record.campaign,
        "file": record.file,
        "executor": record.executor,
        "submitted_utc": format_utc(record.submitted_s),
        "planned_utc": format_utc(record.planned_s),
        "changed": progress.is_changed,
        "dry_run": progress.is_dry,
        "caps": dict(record.caps),
        "jobs": [_job(job, _of(job, progress.happened), progress.blocked) for job in record.jobs],
        "moves": [
            {
                "job": move.job,
                "from_utc": format_utc(move.before.start_s) if move.before else None,
                "from_gpus": move.before.mode.gpus if move.before else None,
                "to_utc": format_utc(move.after.start_s),
                "to_gpus": move.after.mode.gpus,
                "reason": str(move.reason),
            }
            for move in progress.moves
        ],
        "actions": [
            {"do": str(each.do), "job": each.job, "why": each.why or None} for each in progress.actions
        ],
        "notes": list(progress.notes),
    }


def _job(job: CampaignJobRecord, what: Happened, blocked: Mapping[str, str]) -> dict[str, Any]:
    return {
        "job": job.job,
        "run": job.folder.name if job.folder else None,
        "folder": str(job.folder) if job.folder else None,
        "state": what.state,
        "reason": what.reason or None,
        "remedy": what.remedy or None,
        "blocked_by": blocked.get(job.job),
        "first_plan": _planned(job.first),
        "plan": _planned(job.planned),
        "start_utc": format_utc(what.start_s),
        "end_utc": format_utc(what.end_s),
        "gpu_hours": what.gpu_s / HOUR_S,
        "deadline_utc": format_utc(job.deadline_s),
    }


def _planned(planned: PlannedRecord) -> dict[str, Any]:
    return {
        "cap": planned.cap,
        "gpus": planned.gpus,
        "nodes": planned.nodes,
        "start_utc": format_utc(planned.start_s),
        "end_utc": format_utc(planned.end_s),
        "gpu_hours": _gpu_hours(planned),
    }
