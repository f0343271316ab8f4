"""The queue made to follow a plan, and the record with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...estimator.campaign.campaign import Campaign
from ...estimator.campaign.launching.actions import Booking, decide_actions
from ...estimator.campaign.launching.happened import Fate, Happened
from ...estimator.campaign.launching.turns import find_turns
from ...estimator.campaign.plan import Plan
from ...estimator.campaign.replan import Move
from ...estimator.measurements.measurement import Measurement
from ...launcher.campaigns.record import (
    CampaignJobRecord,
    CampaignRecord,
    PlannedRecord,
    write_campaign_record,
)
from .build import Built
from .carry_out import Desk, new_job_record
from .definition import Definition
from .progress import CampaignProgress


def follow_plan(
    folder: Path,
    record: CampaignRecord,
    happened: Mapping[str, Happened],
    plan: Plan,
    moves: Sequence[Move],
    blocked: Mapping[str, str],
    definition: Definition,
    built: Built,
    *,
    force: bool,
    dry_run: bool = False,
    notes: tuple[str, ...] = (),
    measurements: Sequence[Measurement] | None = None,
) -> CampaignProgress:
    """Let the queue follow a plan, and write it down."""
    now_s = plan.campaign.now_s
    turns = find_turns(plan.campaign, plan.planned)
    bookings = {each.job: Booking(each, turns[each.job]) for each in plan.planned if each.job in turns}
    earlier = {job.job: job.booking for job in record.jobs}
    actions = decide_actions(earlier, list(bookings.values()), happened, now_s, blocked)
    record = _with_plan(record, plan, bookings, happened, definition)
    if dry_run:
        return CampaignProgress(record, happened, now_s, tuple(moves), actions, blocked, notes, is_dry=True)
    shapes = {name: built.shapes[name, each.planned.mode] for name, each in bookings.items()}
    desk = Desk(folder, record, definition, shapes, force, measurements)
    desk.carry_out(actions, bookings)
    write_campaign_record(folder, desk.record)
    after = dict(happened)
    for action in actions:
        after[action.job] = Happened(Fate.PENDING, "pending")
    return CampaignProgress(
        desk.record, after, now_s, tuple(moves), actions, blocked, notes, tuple(desk.remarks)
    )


def _with_plan(
    record: CampaignRecord,
    plan: Plan,
    bookings: Mapping[str, Booking],
    happened: Mapping[str, Happened],
    definition: Definition,
) -> CampaignRecord:
    """The record with a new plan; what was submitted of a job stays in it until that is changed."""
    jobs = with_states(record, happened).by_name
    for each in plan.planned:
        job, planned = jobs.get(each.job), PlannedRecord.of(each)
        if job is None:
            jobs[each.job] = new_job_record(bookings[each.job], plan.campaign.job[each.job].deadline_s)
        elif not each.is_started:
            jobs[each.job] = replace(job, before=job.planned, planned=planned)
    in_order = sorted(
        (job for name, job in jobs.items() if job.runs or name in definition.trainings),
        key=lambda job: (job.first.start_s, job.job),
    )
    caps = {pool.name: pool.gpus for pool in plan.campaign.pools}
    return replace(record, jobs=tuple(in_order), caps=caps, planned_s=plan.campaign.now_s)


def with_states(record: CampaignRecord, happened: Mapping[str, Happened]) -> CampaignRecord:
    """The record with what became of each job; GPU-seconds of running jobs are not written: they always change."""

    def see(job: CampaignJobRecord) -> CampaignJobRecord:
        what = happened.get(job.job)
        if what is None:
            return job
        gpu_s = 0.0 if what.fate in (Fate.PENDING, Fate.RUNNING) else what.gpu_s
        return replace(job, state=what.state, start_s=what.start_s, end_s=what.end_s, gpu_s=gpu_s)

    return replace(record, jobs=tuple(map(see, record.jobs)))


def is_news(
    before: CampaignRecord, record: CampaignRecord, happened: Mapping[str, Happened], rest: Campaign
) -> bool:
    """Whether anything happened after which the queue may have to change."""
    states = {job.job: job.state for job in before.jobs}
    is_new = any(
        states.get(name) != what.state for name, what in happened.items() if what.fate is not Fate.RUNNING
    )
    names = {job.job for job in record.jobs if happened[job.job].fate in (Fate.PENDING, Fate.RUNNING)}
    waits = {job.name for job in rest.to_plan} != {
        name for name in names if happened[name].fate is Fate.PENDING
    }
    caps = {pool.name: pool.gpus for pool in rest.pools} != dict(before.caps)
    return is_new or waits or caps
