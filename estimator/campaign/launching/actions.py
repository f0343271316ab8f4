"""What has to be done to the queue so that it follows a plan."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..campaign import PlannedJob
from .happened import Fate, Happened
from .turns import Turn

_SAME_BEGIN_S = 60.0


class Do(StrEnum):
    """What is done to one job."""

    SUBMIT = "submit"
    RESUBMIT = "submit again"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Booking:
    """A job as it is, or is to be, in the queue."""

    planned: PlannedJob
    turn: Turn


@dataclass(frozen=True)
class Action:
    """One thing to do, and why; nothing is said of a job that is submitted for the first time."""

    do: Do
    job: str
    why: str = ""


def decide_actions(
    before: Mapping[str, Booking],
    after: Sequence[Booking],
    happened: Mapping[str, Happened],
    now_s: float,
    blocked: Collection[str] = (),
) -> tuple[Action, ...]:
    """Return what is to be done, in the order of `after`, the bookings of all jobs that have not started; cancels come first.

    `before` has what was submitted.  A pending job is submitted again if its shape, its begin time, or the jobs that it still
    waits for are others; and if one that it waits for gets another job, because Slurm knows these by their numbers.
    Jobs that are `blocked` are left to Slurm, which ends them.
    """
    fates = {name: what.fate for name, what in happened.items()}
    wanted = {each.planned.job for each in after}
    cancels = [
        Action(Do.CANCEL, name, "no longer in the campaign")
        for name, fate in fates.items()
        if fate is Fate.PENDING and name not in wanted and name not in blocked
    ]
    renewed = {action.job for action in cancels}
    actions = list[Action]()
    for each in after:
        name = each.planned.job
        if fates.get(name) is not Fate.PENDING:
            actions.append(Action(Do.SUBMIT, name))
            renewed.add(name)
            continue
        old = before[name]
        if why := _why_changed(old, each, fates, now_s, renewed):
            actions.append(Action(Do.RESUBMIT, name, why))
            renewed.add(name)
    return (*cancels, *actions)


def _why_changed(
    old: Booking, new: Booking, fates: Mapping[str, Fate], now_s: float, renewed: set[str]
) -> str:
    one, other = old.planned.mode, new.planned.mode
    if (one.pool, one.nodes, one.gpus) != (other.pool, other.nodes, other.gpus):
        return "another shape"
    if abs(max(old.turn.begin_s or 0.0, now_s) - max(new.turn.begin_s or 0.0, now_s)) > _SAME_BEGIN_S:
        return "another begin time"
    is_open = {name for name, fate in fates.items() if fate in (Fate.PENDING, Fate.RUNNING)}
    if is_open & {*old.turn.completed} != is_open & {*new.turn.completed}:
        return "it waits for other jobs"
    if is_open & {*old.turn.waits_for} != is_open & {*new.turn.waits_for}:
        return "other jobs have its GPUs before it"
    if renewed & {*old.turn.waits_for, *new.turn.waits_for}:
        return "a job that it waits for is another one"
    return ""
