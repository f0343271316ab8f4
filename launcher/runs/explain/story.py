"""The story of a run: when it waited, and each attempt with what ended it.  Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ...run_folder.task_records import TaskRecord
from ..run_status import RunStatus
from ..state import State
from .restarts import list_restarts

_KINDS = {
    State.COMPLETED: "good",
    State.RUNNING: "run",
    State.PENDING: "run",
    State.CANCELLED: "stop",
    State.PREEMPTED: "stop",
}


@dataclass(frozen=True)
class Chapter:
    """A time of a run between two Unix times: `kind` is wait, run, stop, good or bad, `text` why it ended so."""

    begin_s: float
    end_s: float
    kind: str
    name: str
    text: str = ""


def tell_story(status: RunStatus, tasks: Sequence[TaskRecord]) -> list[Chapter]:
    """Return the waits and the attempts of a submitted run, in order.

    An attempt lasts from its first task's beginning to its last task's end, or its last sign of life.
    """
    begun = [task for task in tasks if task.state != "waiting"]
    attempts = [list(group) for _, group in groupby(begun, key=lambda task: task.attempt)]
    reasons = {restart.number: restart for restart in list_restarts(begun)}
    submitted_s, now_s = (
        status.facts.get("began_s"),
        status.state.known_at if status.state.final else status.looked_s,
    )
    chapters, at_s = list[Chapter](), submitted_s
    for number, group in enumerate(attempts, 1):
        began_s = min(task.began_s for task in group)
        if at_s is not None and began_s > at_s:
            chapters.append(Chapter(at_s, began_s, "wait", "in the queue" if number == 1 else "requeued"))
        is_last = number == len(attempts)
        at_s = now_s if is_last else max(task.ended_s or task.beat_s for task in group)
        step = reasons[number - 1].step if number - 1 in reasons else None
        where = f"from step {step:,}; " if step else ""
        if is_last:
            kind, text = (
                _KINDS.get(status.state.state, "bad"),
                status.state.reason or status.state.state.replace("_", " "),
            )
        else:
            kind, text = "stop", reasons[number].reason if number in reasons else ""
        chapters.append(Chapter(began_s, max(at_s, began_s), kind, f"attempt {number}", f"{where}{text}"))
    if not attempts and submitted_s is not None and now_s > submitted_s:
        chapters.append(Chapter(submitted_s, now_s, "wait", "in the queue", status.state.reason))
    return chapters
