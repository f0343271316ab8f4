"""Submit a campaign, plan its rest anew after something has happened, and look at it: from Python."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...cluster_profiles.local_time import format_local_time
from ...cluster_profiles.modes import user_name
from ...cluster_profiles.profile import ClusterProfile
from ...cluster_profiles.units import join_names
from ...errors import InputError
from ...estimator.campaign.campaign import Campaign
from ...estimator.campaign.launching.actions import Action, Booking, decide_actions
from ...estimator.campaign.launching.happened import Fate, Happened, find_overfull, find_rest
from ...estimator.campaign.launching.turns import find_turns
from ...estimator.campaign.plan import Plan
from ...estimator.campaign.replan import Move, replan as replan_campaign
from ...estimator.measurements.measurement import Measurement
from ...launcher.campaigns.happened import adopt_runs, follow_runs
from ...launcher.campaigns.record import (
    SCHEMA,
    CampaignJobRecord,
    CampaignRecord,
    PlannedRecord,
    lock_campaign,
    read_campaign_record,
    read_campaign_records,
    record_folder,
    write_campaign_record,
)
from ...launcher.run_folder.final_status import has_final_status
from ...launcher.run_folder.folder import history_path, runs_root
from ...launcher.submission.destination import choose_executor
from ...render.campaign.progress import progress_as_dict, write_progress
from ...render.layout import Page
from ..measurements import ProgressCallback
from ..result import Result
from . import solver
from .build import Built, build_campaign
from .carry_out import Desk, new_job_record, working_folder
from .definition import Definition, Source, gpus_in_partition, read_definition
from .moment import parse_within_s
from .schedule import CampaignPlan


@dataclass(frozen=True, repr=False)
class CampaignProgress(Result):
    """A submitted campaign, the plan against what happened: its `record`, and what `happened` to each job by name.

    `moves` are jobs that start at another time or in another shape than before, `actions` what was done to the queue, or with
    a dry run would be; `blocked` jobs by the failed one that they wait for.  `is_changed` says whether anything is new.
    """

    record: CampaignRecord
    happened: Mapping[str, Happened]
    now_s: float
    moves: tuple[Move, ...] = ()
    actions: tuple[Action, ...] = ()
    blocked: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    history_remarks: tuple[str, ...] = ()
    is_changed: bool = True
    is_dry: bool = False

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return sentences on what could not be read, and the warnings of the checks."""
        return self.history_remarks

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan schedule --submit --json` and `--replan --json`."""
        return progress_as_dict(self)

    def write(self, page: Page) -> None:
        """Write the plan against what happened, what moved and why, and what to do about failed jobs."""
        write_progress(page, self)


def campaigns() -> tuple[CampaignRecord, ...]:
    """Return the records of all submitted campaigns, the latest first, each with its latest plan and what was last seen.

    Nothing is asked of Slurm: `replan(campaign, dry_run=True)` looks anew.

    Examples:
        >>> names = [record.campaign for record in campaigns()]
    """
    return tuple(read_campaign_records(history_path(os.environ))[0])


def is_begun(campaign: Source, profile: str | None = None, caps: Sequence[str] = ()) -> bool:
    """Return whether the submission of a campaign was begun and cut off; it can go on.  Raises InputError if it is complete."""
    definition = read_definition(campaign, caps=caps, profile=profile)
    record = read_campaign_record(record_folder(history_path(os.environ), definition.name))
    if record is None:
        return False
    if all(job.runs for job in record.jobs):
        raise _submitted_before(record)
    return True


def _submitted_before(record: CampaignRecord) -> InputError:
    when = format_local_time(record.submitted_s, datetime.now(UTC).timestamp())
    return InputError(
        f"campaign {record.campaign!r} was submitted at {when}: --replan plans its rest anew, --replan --dry-run shows how it "
        "goes; to run it once more, give it another `name`"
    )


def submit_plan(
    answer: CampaignPlan, *, executor: str | None = None, force: bool = False, leaves_others: bool = False
) -> CampaignProgress:
    """Submit the jobs of a plan, as `CampaignPlan.submit` does."""
    history, definition = history_path(os.environ), answer.definition
    now_s = answer.plan.campaign.now_s
    with lock_campaign(history, definition.name) as folder:
        if earlier := read_campaign_record(folder):
            raise _submitted_before(earlier)
        notes = _check_other_campaigns(history, definition, answer.plan.campaign, refuses=not leaves_others)
        first = next(iter(definition.trainings.values())).workload
        record = CampaignRecord(
            SCHEMA,
            definition.name,
            user_name(),
            working_folder(),
            str(runs_root(os.environ)),
            choose_executor(executor, None, first.model_copy(update={"cluster": type(first.cluster)()}), dry_run=False),
            now_s,
            now_s,
            {pool.name: pool.gpus for pool in answer.plan.campaign.pools},
            (),
            str(definition.path.absolute()) if definition.path else None,
        )
        built = Built(answer.plan.campaign, answer.shapes, ())
        return _follow(folder, record, {}, answer.plan, (), {}, definition, built, force=force, notes=notes)


def replan(
    campaign: Source,
    *,
    dry_run: bool = False,
    force: bool = False,
    caps: Sequence[str] = (),
    profile: str | os.PathLike[str] | ClusterProfile | None = None,
    deadline: str | None = None,
    within: str = "30s",
    priors: bool = False,
    queue: bool = False,
    measurements: Sequence[Measurement] | None = None,
    now: datetime | None = None,
    progress: ProgressCallback | None = None,
) -> CampaignProgress:
    """Read what happened to a submitted campaign, plan its rest anew, and change in the queue what must change.

    Jobs keep their shapes and their order unless another plan misses fewer deadlines or is better by 2 %.  Jobs that failed or
    were cancelled are not submitted again: `clusterplan resume` takes them up, and the next replan follows.  Where nothing
    happened, nothing is changed.  With `dry_run` nothing is changed at all.  The other arguments are those of `schedule`.

    Raises InputError if the campaign was not submitted, or another process submits or plans it, and SlurmUnavailable.

    Examples:
        >>> replan("no-such-campaign.toml")
        Traceback (most recent call last):
        clusterplan.errors.InputError: no-such-campaign.toml: no such file
    """
    now = now or datetime.now(UTC)
    history, within_s = history_path(os.environ), parse_within_s(within)
    definition = read_definition(campaign, caps=caps, profile=profile)
    if read_campaign_record(record_folder(history, definition.name)) is None:
        raise InputError(f"campaign {definition.name!r} was not submitted yet: --submit does")
    with lock_campaign(history, definition.name) as folder:
        before = read_campaign_record(folder)
        assert before  # noqa: S101  it was there
        record, happened = follow_runs(adopt_runs(before))
        built = build_campaign(
            definition, now, deadline=deadline, measurements=measurements, use_priors=priors, progress=progress
        )
        if queue:
            from .queue import leave_to_others  # noqa: PLC0415  questions to Slurm, where nobody asks them

            own = frozenset(_job_ids(record))
            built = replace(built, campaign=leave_to_others(built.campaign, definition, own))
        planned = {job.job: job.planned.as_planned(job.job) for job in record.jobs}
        rest = find_rest(built.campaign, planned, happened)
        is_news = _is_news(before, record, happened, rest.campaign)
        refine = solver.make_refine(within_s) if within_s and is_news and solver.is_installed() else None
        plan, moves = None, ()
        if rest.campaign.jobs:
            plan, moves = replan_campaign(rest.campaign, list(planned.values()), refine)
        notes = _notes(definition, record, happened, rest.campaign)
        if plan is None or not (is_news or moves):
            seen = _seen(record, happened)
            if not dry_run and seen != before:
                write_campaign_record(folder, seen)
            return CampaignProgress(
                seen, happened, now.timestamp(), blocked=rest.blocked, notes=notes, is_changed=seen != before, is_dry=dry_run
            )
        return _follow(
            folder, record, happened, plan, moves, rest.blocked, definition, built,
            force=force, dry_run=dry_run, notes=notes, measurements=measurements,
        )  # fmt: skip


def _follow(
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
    bookings = {
        each.job: Booking(each, turns[each.job]) for each in plan.planned if each.job in turns
    }
    earlier = {job.job: job.booking for job in record.jobs}
    actions = decide_actions(earlier, list(bookings.values()), happened, now_s, blocked)
    record = _with_plan(record, plan, bookings, happened, definition)
    if dry_run:
        return CampaignProgress(
            record, happened, now_s, tuple(moves), actions, blocked, notes, is_dry=True
        )
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
    jobs = _seen(record, happened).by_name
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


def _seen(record: CampaignRecord, happened: Mapping[str, Happened]) -> CampaignRecord:
    """The record with what became of each job; GPU-seconds of running jobs are not written: they always change."""

    def see(job: CampaignJobRecord) -> CampaignJobRecord:
        what = happened.get(job.job)
        if what is None:
            return job
        gpu_s = 0.0 if what.fate in (Fate.PENDING, Fate.RUNNING) else what.gpu_s
        return replace(job, state=what.state, start_s=what.start_s, end_s=what.end_s, gpu_s=gpu_s)

    return replace(record, jobs=tuple(map(see, record.jobs)))


def _is_news(
    before: CampaignRecord, record: CampaignRecord, happened: Mapping[str, Happened], rest: Campaign
) -> bool:
    """Whether anything happened after which the queue may have to change."""
    states = {job.job: job.state for job in before.jobs}
    is_new = any(states.get(name) != what.state for name, what in happened.items() if what.fate is not Fate.RUNNING)
    names = {job.job for job in record.jobs if happened[job.job].fate in (Fate.PENDING, Fate.RUNNING)}
    waits = {job.name for job in rest.to_plan} != {
        name for name in names if happened[name].fate is Fate.PENDING
    }
    caps = {pool.name: pool.gpus for pool in rest.pools} != dict(before.caps)
    return is_new or waits or caps


def _notes(
    definition: Definition, record: CampaignRecord, happened: Mapping[str, Happened], rest: Campaign
) -> tuple[str, ...]:
    notes = [
        f"cap {name} has {rest.pool[name].gpus} GPUs, and running jobs have {used}: they go on, and the others wait for them"
        for name, used in find_overfull(rest).items()
    ]
    removed = [job.job for job in record.jobs if job.job not in definition.trainings]
    running = [name for name in removed if happened[name].fate is Fate.RUNNING]
    if running:
        notes.append(
            f"no longer in the campaign, but running: {join_names(running)}: they go on, `clusterplan cancel` stops them"
        )
    return tuple(notes)


def _job_ids(record: CampaignRecord) -> list[str]:
    from ...launcher.run_folder.job_log import read_jobs  # noqa: PLC0415  for the queue only

    return [entry.job for job in record.jobs if job.folder for entry in read_jobs(job.folder)]


def _check_other_campaigns(
    history: Path, definition: Definition, campaign: Campaign, *, refuses: bool
) -> tuple[str, ...]:
    """Return a warning for another open campaign on the same cap where nobody knows whether both fit.

    Raises InputError where they do not.
    """
    notes = []
    for other in read_campaign_records(history)[0]:
        if other.campaign == definition.name:
            continue
        is_open = any(job.folder and not has_final_status(job.folder) for job in other.jobs)
        shared = [name for name in other.caps if name in campaign.pool]
        if not is_open or not shared:
            continue
        name = shared[0]
        both = other.caps[name] + campaign.pool[name].gpus
        whole = gpus_in_partition(definition, name)
        if whole is not None and both <= whole:
            continue
        text = f"cap {name}: campaign {other.campaign!r} is open on it too"
        if whole is not None and refuses:
            raise InputError(
                f"{text}: together they may hold {both} GPUs, and there are {whole}: give smaller caps, or --queue, which "
                "leaves it its GPUs"
            )
        if whole is None:
            notes.append(f"{text}: together they may hold {both} GPUs")
    return tuple(notes)
