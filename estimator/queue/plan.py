"""The queue planned in order: each pending job at the first time at which it delays none before it.

This is backfill, GPU by GPU: a job later in the order takes a hole that those before it leave.  Slurm's own plan
(`squeue --start`) gives whole nodes to each pending job, and so sees no hole on a node that is shared.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from .state import PendingJob, QueueState, Request, RunningJob, order_of
from .timeline import Board, Fitting

_MOST_LOOKS = 250_000  # of one plan, jobs x nodes: a second
_FEWEST_PLANNED = 50

Span = Callable[[PendingJob, int], float]  # how long an element of a pending job runs, in seconds
_ENDING_S = 60.0  # a job that has passed its limit is being ended


def most_planned(state: QueueState) -> int:
    """Return how many of the jobs in line are planned: those behind them would take too long.

    >>> most_planned(QueueState(0.0, ()))
    250000
    """
    return max(_MOST_LOOKS // max(len(state.nodes), 1), _FEWEST_PLANNED)


def jobs_before(state: QueueState, request: Request, job: PendingJob | None = None) -> list[PendingJob]:
    """Return the pending jobs that Slurm looks at before `job`, in order; a job that is not submitted is the last of its tier."""
    tier = state.tier(request.partitions)
    last = (-tier, math.inf, math.inf)
    key = (-tier, -job.priority, job.submitted_s) if job else last
    others = [each for each in state.pending if job is None or each.job_id != job.job_id]
    before = [each for each in others if order_of(state, each) < key and not each.is_blocked]
    return sorted(before, key=lambda each: order_of(state, each))


def plan(
    state: QueueState,
    before: Sequence[PendingJob],
    ends_s: Mapping[str, float],
    span: Span,
    fitting: Fitting | None = None,
) -> Board:
    """Return the board on which the running jobs end at `ends_s`, and the jobs of `before` are planned."""
    board = Board(state.nodes, state.reservations, state.now_s, fitting)
    _put_running(board, state, ends_s)
    ends, room = dict(ends_s), most_planned(state)
    for job in before:
        earliest_s = max([state.now_s, job.earliest_s, *(ends.get(other, 0.0) for other in job.after)])
        elements = replace(job, count=min(job.count, room))
        spans_s = [span(job, element) for element in range(elements.count)]
        starts_s = place_elements(board, elements, earliest_s, spans_s)
        is_whole = len(starts_s) == job.count
        ends[job.job_id] = (
            max(start_s + span_s for start_s, span_s in zip(starts_s, spans_s, strict=False))
            if starts_s and is_whole
            else math.inf
        )
        room -= elements.count
        if not room:
            break
    return board


def place_elements(board: Board, job: PendingJob, earliest_s: float, spans_s: Sequence[float]) -> list[float]:
    """Put the elements of a job on the board one after another; return their starts, those that fit."""
    starts_s: list[float] = []
    for element, span_s in enumerate(spans_s):
        if job.at_once and element >= job.at_once:
            ends_s = sorted(start_s + spent_s for start_s, spent_s in zip(starts_s, spans_s, strict=False))
            earliest_s = max(earliest_s, ends_s[-job.at_once])
        place = board.find(job.request, earliest_s, min(span_s, job.request.shortest_s))
        if place is None:
            break
        start_s, nodes = place
        for line, amounts in nodes:
            line.take(start_s, start_s + span_s, amounts)
        starts_s.append(start_s)
    return starts_s


def limit_ends_s(state: QueueState) -> dict[str, float]:
    """Return when the limit of each running job ends it, in Unix seconds."""
    return {job.job_id: max(job.limit_end_s, state.now_s + _ENDING_S) for job in state.running}


def _put_running(board: Board, state: QueueState, ends_s: Mapping[str, float]) -> None:
    on_node: dict[str, list[RunningJob]] = {}
    for job in state.running:
        for name in job.nodes:
            on_node.setdefault(name, []).append(job)
    for name, line in board.nodes.items():
        jobs, node = on_node.get(name, []), line.node
        for job in jobs:
            if (amounts := line.amounts(job.request)) is not None:
                line.take(state.now_s, ends_s[job.job_id], amounts)
        hidden = (
            node.used_cpus - sum(job.request.cpus for job in jobs),
            node.used_memory_mib - sum(job.request.memory_mib for job in jobs),
            node.used_gpus - sum(job.request.gpus for job in jobs),
        )
        if max(hidden) > 0 and not any(job.request.exclusive for job in jobs):
            end_s = _hidden_end_s(state, node.partitions, [ends_s[job.job_id] for job in jobs])
            line.take(
                state.now_s, end_s, [(slot, amount) for slot, amount in enumerate(hidden) if amount > 0]
            )


def _hidden_end_s(state: QueueState, partitions: frozenset[str], ends_s: Sequence[float]) -> float:
    """Return when what jobs hold that are not shown is free again: at their partition's limit at the latest."""
    if ends_s and not state.hides_jobs:
        return max(ends_s)  # it belongs to one of these
    limits = [rules.limit_s for name in partitions if (rules := state.partitions.get(name))]
    longest = [limit for limit in limits if limit is not None]
    return state.now_s + max(longest) if longest and len(longest) == len(limits) else math.inf
