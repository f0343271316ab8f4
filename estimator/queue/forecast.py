"""When requests would start: by the limits of all jobs, and as a range where it is known how much of them jobs use."""

import random
from collections.abc import Callable, Iterator, Sequence

from ..ranges import Range
from .limit_use import LimitUse
from .plan import Span, jobs_before, limit_ends_s, most_planned, place_elements, plan
from .state import PendingJob, QueueState, Request
from .timeline import Board, Fitting
from .wait import Basis, WaitForecast

_MOST_DRAWS, _FEWEST_DRAWS = 41, 3
_MOST_LOOKS = 500_000  # of all draws, jobs x nodes: two seconds
_SEED = 14
# Draws know nothing of jobs that come later, some with a higher priority, nor of those that are cancelled: the range is
# wider by these, chosen on one month of benchmarks/start_forecast.py so that it holds 80 %; on others it holds less.
_SOONER = 0.7  # of P10
_TOWARDS_LIMITS = 0.5  # of the way from P90 to the wait by limits


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
        line = _Line(state.seen_from(partitions), alike[0], use, job)

        def find(board: Board, _: Span, alike: Sequence[Request] = alike, line: _Line = line) -> Waits:
            places = [board.find(each, line.earliest_s, each.shortest_s) for each in alike]
            return [place[0] if place else None for place in places]

        forecasts |= zip(alike, line.forecast(alike, find), strict=True)
    return [forecasts[request] for request in requests]


def forecast_elements(
    state: QueueState, job: PendingJob, use: LimitUse | None = None, *, is_new: bool = False
) -> list[WaitForecast]:
    """Return the forecast of each element of a job, one after another; of those that never start none.

    A job that `is_new` is the last of its tier, whatever its priority.
    """
    line = _Line(state.seen_from(job.request.partitions), job.request, use, None if is_new else job)

    def find(board: Board, span: Span) -> Waits:
        starts_s = place_elements(board, job, line.earliest_s, [span(job, i) for i in range(job.count)])
        return [*starts_s, *[None] * (job.count - len(starts_s))]

    return line.forecast([job.request] * job.count, find)


Waits = list[float | None]  # the start of each request, in Unix seconds


class _Line:
    """The jobs before a request, and the boards on which they are planned: one by limits, others by draws."""

    def __init__(
        self, state: QueueState, request: Request, use: LimitUse | None, job: PendingJob | None
    ) -> None:
        self.state, self.use = state, use
        self.before = jobs_before(state, request, job)
        self.fitting: Fitting = {}
        self.earliest_s = max(state.now_s, job.earliest_s if job else 0.0)

    def forecast(
        self, requests: Sequence[Request], find: Callable[[Board, Span], Waits]
    ) -> list[WaitForecast]:
        """Return the forecast of each request, whose starts `find` gives on a board."""
        now_s, in_line = self.state.now_s, sum(each.count for each in self.before)
        board = plan(self.state, self.before, limit_ends_s(self.state), _whole_limit, self.fitting)
        holes_s = [board.hole_s(each) for each in requests]
        by_limits = find(board, _whole_limit)
        drawn = list(zip(*self._draw(in_line, find), strict=True)) or [()] * len(requests)
        return [
            WaitForecast(
                by_limits_s=None if start_s is None else start_s - now_s,
                wait_s=_range(now_s, starts_s, start_s) if start_s is not None else None,
                hole_s=hole_s,
                before=in_line,
                basis=Basis.USAGE if self.use else Basis.LIMITS,
                unplanned=max(in_line - most_planned(self.state), 0),
            )
            for start_s, starts_s, hole_s in zip(by_limits, drawn, holes_s, strict=True)
        ]

    def _draw(self, in_line: int, find: Callable[[Board, Span], Waits]) -> Iterator[Waits]:
        """Yield the starts if jobs end at shares of their limits that are drawn."""
        use, state = self.use, self.state
        if use is None:
            return
        looks = max(min(in_line, most_planned(state)) * len(state.nodes), 1)
        for number in range(max(min(_MOST_LOOKS // looks, _MOST_DRAWS), _FEWEST_DRAWS)):
            rng = random.Random(_SEED + number)  # noqa: S311  draws of run times
            ends_s = {}
            for job in state.running:
                limit_s = job.request.limit_s
                share = use.draw(job.user, rng.random(), max(state.now_s - job.start_s, 0.0) / limit_s)
                ends_s[job.job_id] = max(job.start_s + share * limit_s, state.now_s)

            def span(job: PendingJob, _: int, use: LimitUse = use, rng: random.Random = rng) -> float:
                return use.draw(job.user, rng.random()) * job.request.limit_s

            yield find(plan(state, self.before, ends_s, span, self.fitting), span)


def _whole_limit(job: PendingJob, _: int) -> float:
    return job.request.limit_s


def _range(now_s: float, starts_s: Sequence[float | None], by_limits_s: float) -> Range | None:
    waits = [start_s - now_s for start_s in starts_s if start_s is not None]
    if not waits:
        return None
    drawn = Range.of_draws(waits)
    beyond_s = max(by_limits_s - now_s - drawn.p90, 0.0)
    return Range(drawn.p10 * _SOONER, drawn.p50, drawn.p90 + _TOWARDS_LIMITS * beyond_s)
