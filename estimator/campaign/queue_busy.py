"""What the queue leaves of a pool: the GPUs that running jobs have, and those that pending jobs will get before ours."""

import math
from collections.abc import Sequence

from ..queue.plan import jobs_before, limit_ends_s, plan
from ..queue.state import PendingJob, QueueState, Request
from ..queue.timeline import GPUS, Board, NodeTimeline
from .campaign import Busy, Pool

_HORIZON_S = 7 * 86400.0  # the nodes that are most free until then are those that the campaign would get


def busy_by_queue(
    state: QueueState, pool: Pool, partition: str, *, own: frozenset[str] = frozenset()
) -> tuple[Busy, ...]:
    """Return what others have of a pool whose nodes are those of `partition`, each job until its time limit.

    Pending jobs are planned before the campaign, in Slurm's order; jobs in `own` are the campaign's, and do not count.  The
    pool gets the nodes that are most free in the next week.  Nodes that the partition lacks or that are down are taken.
    """
    seen = state.without(own).seen_from((partition,))
    request = Request(1, 1, math.inf, (partition,))
    board = plan(seen, jobs_before(seen, request), limit_ends_s(seen), _whole_limit)
    lines = [line for line, _ in board.fitting(request)]
    spans = {id(line): _taken(board, line) for line in lines}
    lines.sort(key=lambda line: (-line.total[GPUS], _gpu_seconds(spans[id(line)], state.now_s)))
    busy = []
    for place, size in enumerate(pool.nodes):
        if place >= len(lines):
            busy.append(Busy(pool.name, state.now_s, math.inf, _only(pool, place, size), "down"))
            continue
        line = lines[place]
        spare = max(
            line.total[GPUS] - size, 0
        )  # of a pool that has a part of the node, others may use the rest
        for begin_s, end_s, gpus in spans[id(line)]:
            if gpus > spare:
                taken = min(gpus - spare, size)
                busy.append(Busy(pool.name, begin_s, end_s, _only(pool, place, taken), "queue"))
    return tuple(busy)


def _whole_limit(job: PendingJob, _: int) -> float:
    return job.request.limit_s


def _taken(board: Board, line: NodeTimeline) -> list[tuple[float, float, int]]:
    """Return from when to when how many GPUs of a node are taken; reservations of others take all."""
    ends = [*line.times[1:], math.inf]
    spans = [
        (begin_s, end_s, line.total[GPUS] - row[GPUS])
        for begin_s, end_s, row in zip(line.times, ends, line.free, strict=True)
        if row[GPUS] < line.total[GPUS]
    ]
    whole = line.total[GPUS]
    return spans + [
        (max(begin_s, board.now_s), end_s, whole) for begin_s, end_s, _ in line.blocks if end_s > board.now_s
    ]


def _gpu_seconds(spans: Sequence[tuple[float, float, int]], now_s: float) -> float:
    last_s = now_s + _HORIZON_S
    return sum(gpus * max(min(end_s, last_s) - begin_s, 0.0) for begin_s, end_s, gpus in spans)


def _only(pool: Pool, place: int, gpus: int) -> tuple[int, ...]:
    return tuple(gpus if i == place else 0 for i in range(len(pool.nodes)))
