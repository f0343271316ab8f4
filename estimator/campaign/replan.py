"""A plan made anew after something has happened: what still holds is kept, and what moves is said with its reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .bounds import bound_of
from .campaign import Campaign, CampaignJob, Mode, PlannedJob
from .check import check_campaign
from .greedy import Solution, plan_greedily
from .placing.list_schedule import ListScheduler
from .plan import Plan, Refine, build_plan
from .score import Score, score_plan

MOVED_S = 600.0  # a start that is this much earlier or later counts as moved
_WORTHWHILE = 0.02  # of the objective: a plan that moves jobs has to be better by this


class Reason(StrEnum):
    """Why a job moved."""

    NEW = "new in the campaign"
    WAITS = "a job that it waits for ends at another time"
    GPUS = "GPUs are free at another time than was planned"
    BETTER = "another plan is better by more than 2 %"
    DEADLINE = "fewer deadlines are missed so"


@dataclass(frozen=True)
class Move:
    """A job that starts at another time or in another shape than was planned; `before` is None for one that is new."""

    job: str
    before: PlannedJob | None
    after: PlannedJob
    reason: Reason


def replan(
    campaign: Campaign, before: Sequence[PlannedJob], refine: Refine | None = None
) -> tuple[Plan, tuple[Move, ...]]:
    """Return a plan of the jobs that have not started, and which of them moved.

    Jobs keep their shapes and their order of the plan `before` unless another plan misses fewer deadlines, or is better
    by 2 %.  Raises InputError for a campaign that cannot be planned.
    """
    check_campaign(campaign)
    planned = {each.job: each for each in before}
    kept = _keep(campaign, planned)
    best = plan_greedily(campaign)
    bound, solver = bound_of(campaign), "list schedule"
    if refine is not None and any(campaign.to_plan):
        start = kept if kept is not None and kept.score <= best.score else best
        refined = refine(campaign, start, lambda *_: None)
        best, solver, bound = refined.solution, "CP-SAT", max(bound, refined.bound or 0.0)
    is_kept = kept is not None and _is_good_enough(kept.score, best.score)
    chosen = kept if kept is not None and is_kept else best
    plan = build_plan(campaign, chosen, bound, solver)
    why = None if is_kept or kept is None else _why_better(kept.score, best.score)
    return plan, find_moves(campaign, planned, plan.planned, why)


def _keep(campaign: Campaign, planned: Mapping[str, PlannedJob]) -> Solution | None:
    """Return the plan in which jobs keep their shapes and their order; None if one of them has lost its shape."""
    scheduler = ListScheduler(campaign)
    old = {name: each.mode for name, each in planned.items()}
    late_s = max((each.start_s for each in planned.values()), default=campaign.now_s)
    order = {
        job.name: (
            planned[job.name].start_s if job.name in planned else late_s,
            -scheduler.chains[job.name].own_s,
        )
        for job in campaign.to_plan
    }
    in_time = scheduler.in_time(max(late_s - campaign.now_s, _end_before_s(campaign, planned)))

    def choose(job: CampaignJob, places: Iterator[PlannedJob]) -> PlannedJob | None:
        mode = old.get(job.name)
        if mode is None:
            return in_time(job, places)
        return next((p for p in places if _same_shape(p.mode, mode)), None)

    result = scheduler.place(order, choose)
    return None if result is None else Solution(result, score_plan(campaign, result))


def _end_before_s(campaign: Campaign, planned: Mapping[str, PlannedJob]) -> float:
    """Return when the plan before was to end, in seconds from now; 0 if that has passed."""
    return max([0.0, *(each.careful_end_s - campaign.now_s for each in planned.values())])


def _is_good_enough(kept: Score, best: Score) -> bool:
    if kept.missed > best.missed:
        return False
    return kept.main <= best.main * (1 + _WORTHWHILE) or kept.missed < best.missed


def _why_better(kept: Score, best: Score) -> Reason:
    return Reason.DEADLINE if best.missed < kept.missed else Reason.BETTER


def find_moves(
    campaign: Campaign,
    before: Mapping[str, PlannedJob],
    after: Sequence[PlannedJob],
    why: Reason | None = None,
) -> tuple[Move, ...]:
    """Return the jobs whose start or shape is another one than before; `why` is the reason if the whole plan is new."""
    ends = {each.job: each.end_s for each in after}
    moves = []
    for each in after:
        old = before.get(each.job)
        if each.is_started:
            continue
        if old is None:
            moves.append(Move(each.job, None, each, Reason.NEW))
            continue
        if _same_shape(old.mode, each.mode) and abs(old.start_s - each.start_s) < MOVED_S:
            continue
        waits = any(
            other in before and abs(ends[other] - before[other].end_s) >= MOVED_S
            for other in campaign.job[each.job].after
        )
        moves.append(Move(each.job, old, each, why or (Reason.WAITS if waits else Reason.GPUS)))
    return tuple(moves)


def _same_shape(one: Mode, other: Mode) -> bool:
    return (one.pool, one.nodes, one.gpus) == (other.pool, other.nodes, other.gpus)
