"""When requests would start: by the limits of all jobs, and as a range where it is known how much of them jobs use."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ..ranges import Range
from .limit_use import LimitUse
from .plan import MOST_PLANNED, jobs_before, limit_ends_s, plan
from .state import PendingJob, QueueState, Request

_MOST_DRAWS, _FEWEST_DRAWS = 41, 9
_WORK = 200_000  # jobs x nodes x draws: a second or two
_SEED = 14


class Basis(StrEnum):
    """What the end of each running job is taken from."""

    USAGE = "usage"  # shares of their limits that ended jobs used
    LIMITS = "limits"


@dataclass(frozen=True)
class WaitForecast:
    """When a request would start, in seconds from now.

    `by_limits_s` is the wait if every job before it runs to its limit; None if it never starts so.  `wait_s` is the range
    if jobs end as jobs of late did; None by limits alone.  `hole_s` is for how long its GPUs are free now: 0 if
    they are not, infinite if nothing ends it.  `before` counts the jobs before it in line.
    """

    by_limits_s: float | None
    wait_s: Range | None
    hole_s: float
    before: int
    basis: Basis

    @property
    def expected_s(self) -> float | None:
        """Return the wait to reckon with: the median, otherwise that by limits."""
        return self.wait_s.p50 if self.wait_s else self.by_limits_s


def forecast_waits(
    state: QueueState,
    requests: Sequence[Request],
    use: LimitUse | None = None,
    job: PendingJob | None = None,
) -> list[WaitForecast]:
    """Return the forecast of each request by itself, as the pending job `job` or, without one, as a new job.

    Every request is planned on its own: none of them waits for another.
    """
    forecasts: dict[Request, WaitForecast] = {}
    for partitions in dict.fromkeys(request.partitions for request in requests):
        alike = [request for request in requests if request.partitions == partitions]
        forecasts |= _forecast_alike(state.seen_from(partitions), alike, use, job)
    return [forecasts[request] for request in requests]


def _forecast_alike(
    state: QueueState, requests: Sequence[Request], use: LimitUse | None, job: PendingJob | None
) -> dict[Request, WaitForecast]:
    """Return the forecasts of requests of the same partitions, which have the same jobs before them."""
    own = frozenset({job.job_id}) if job else frozenset[str]()
    before = [each for each in jobs_before(state, requests[0], job) if each.job_id not in own]
    earliest_s = max(state.now_s, job.earliest_s if job else 0.0)
    board = plan(state, before, limit_ends_s(state), lambda each, _: each.request.limit_s)
    by_limits = {each: board.find(each, earliest_s, each.shortest_s) for each in requests}
    holes = {each: board.hole_s(each) for each in requests}
    waits: dict[Request, list[float]] = {each: [] for each in requests}
    if use:
        count = sum(each.count for each in before)
        work = max(min(count, MOST_PLANNED) * len(state.nodes), 1)
        draws = max(min(_WORK // work, _MOST_DRAWS), _FEWEST_DRAWS)
        for number in range(draws):
            for each, wait_s in _draw_waits(state, before, requests, use, earliest_s, number).items():
                waits[each].append(wait_s)
    in_line = sum(each.count for each in before)
    return {
        each: WaitForecast(
            by_limits_s=place[0] - state.now_s if (place := by_limits[each]) else None,
            wait_s=Range.of_draws(waits[each]) if place and waits[each] else None,
            hole_s=holes[each],
            before=in_line,
            basis=Basis.USAGE if use else Basis.LIMITS,
        )
        for each in requests
    }


def _draw_waits(
    state: QueueState,
    before: Sequence[PendingJob],
    requests: Sequence[Request],
    use: LimitUse,
    earliest_s: float,
    number: int,
) -> dict[Request, float]:
    """Return the wait of each request if jobs end at shares of their limits that are drawn from `use`."""
    rng = random.Random(_SEED + number)  # noqa: S311  draws of run times
    ends_s = {}
    for job in state.running:
        limit_s = job.request.limit_s
        share = use.draw(job.user, rng.random(), max(state.now_s - job.start_s, 0.0) / limit_s)
        ends_s[job.job_id] = max(job.start_s + share * limit_s, state.now_s)
    board = plan(state, before, ends_s, lambda job, _: use.draw(job.user, rng.random()) * job.request.limit_s)
    waits = {}
    for each in requests:
        place = board.find(each, earliest_s, each.shortest_s)
        if place is not None:
            waits[each] = place[0] - state.now_s
    return waits


def fits_at_all(state: QueueState, request: Request) -> bool:
    """Return whether the request could start if nothing else ran."""
    empty = replace(
        state,
        running=(),
        nodes=tuple(replace(node, used_gpus=0, used_cpus=0, used_memory_mib=0) for node in state.nodes),
    )
    return plan(empty, (), {}, lambda *_: math.inf).find(request, state.now_s, 0.0) is not None
