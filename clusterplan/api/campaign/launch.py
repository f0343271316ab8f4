"""Submit a campaign, plan its rest anew after something has happened, and look at it: from Python."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ...cluster_profiles.local_time import format_local_time
from ...cluster_profiles.modes import user_name
from ...cluster_profiles.profile import ClusterProfile
from ...cluster_profiles.units import join_names
from ...errors import InputError
from ...estimator.campaign.campaign import Campaign
from ...estimator.campaign.launching.happened import Fate, Happened, find_overfull, find_rest
from ...estimator.campaign.replan import replan as replan_campaign
from ...estimator.measurements.measurement import Measurement
from ...launcher.campaigns.happened import adopt_runs, follow_runs
from ...launcher.campaigns.record import (
    SCHEMA,
    CampaignRecord,
    lock_campaign,
    read_campaign_record,
    read_campaign_records,
    record_folder,
    write_campaign_record,
)
from ...launcher.run_folder.final_status import has_final_status
from ...launcher.run_folder.folder import history_path, runs_root
from ...launcher.submission.destination import choose_executor
from ..measurements import ProgressCallback
from . import solver
from .build import Built, build_campaign
from .carry_out import working_folder
from .definition import Definition, Source, gpus_in_partition, read_definition
from .follow import follow_plan, is_news, with_states
from .moment import parse_within_s
from .progress import CampaignProgress
from .schedule import CampaignPlan


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
            choose_executor(
                executor, None, first.model_copy(update={"cluster": type(first.cluster)()}), dry_run=False
            ),
            now_s,
            now_s,
            {pool.name: pool.gpus for pool in answer.plan.campaign.pools},
            (),
            str(definition.path.absolute()) if definition.path else None,
        )
        built = Built(answer.plan.campaign, answer.shapes, ())
        return follow_plan(
            folder, record, {}, answer.plan, (), {}, definition, built, force=force, notes=notes
        )


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
            definition,
            now,
            deadline=deadline,
            measurements=measurements,
            use_priors=priors,
            progress=progress,
        )
        if queue:
            from .queue import leave_to_others  # noqa: PLC0415  questions to Slurm, where nobody asks them

            own = frozenset(_job_ids(record))
            built = replace(built, campaign=leave_to_others(built.campaign, definition, own))
        planned = {job.job: job.planned.as_planned(job.job) for job in record.jobs}
        rest = find_rest(built.campaign, planned, happened)
        has_news = is_news(before, record, happened, rest.campaign)
        refine = solver.make_refine(within_s) if within_s and has_news and solver.is_installed() else None
        plan, moves = (
            replan_campaign(rest.campaign, list(planned.values()), refine)
            if rest.campaign.jobs
            else (None, ())
        )
        notes = _notes(definition, record, happened, rest.campaign)
        if plan is None or not (has_news or moves):
            seen = with_states(record, happened)
            if not dry_run and seen != before:
                write_campaign_record(folder, seen)
            return CampaignProgress(
                seen,
                happened,
                now.timestamp(),
                blocked=rest.blocked,
                notes=notes,
                is_changed=seen != before,
                is_dry=dry_run,
            )
        return follow_plan(
            folder, record, happened, plan, moves, rest.blocked, definition, built,
            force=force, dry_run=dry_run, notes=notes, measurements=measurements,
        )  # fmt: skip


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
