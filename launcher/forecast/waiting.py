"""A job that waits in Slurm's queue: its place, when it would start, and what would make it start sooner."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from ...cluster_profiles.units import MINUTE_S
from ...errors import SlurmRefused, SlurmUnavailable
from ...estimator.queue.forecast import forecast_elements, forecast_waits
from ...estimator.queue.limit_use import LimitUse
from ...estimator.queue.shape_start import ShapeStart
from ...estimator.queue.state import PendingJob, QueueState, Request
from ..slurm.pace import Pace
from ..slurm.queue.reader import read_limit_use, read_queue_state

_TIMEOUT_S = 5.0
_SHORTEST_LIMIT_S = 600.0  # that is worth a job
_LEAST_GAIN, _LEAST_GAIN_S = 0.2, 300.0  # of the wait, to be worth saying
_MOST_WAYS = 3
_EVERY_MINUTE = Pace(MINUTE_S)


@dataclass(frozen=True)
class Way:
    """A change of a job that would make it start sooner, as a command or in words, and its wait then in seconds.

    `shortens` if the job then has less time, which suits a run that resumes.
    """

    text: str
    wait_s: float
    shortens: bool = False


@dataclass(frozen=True)
class Waiting:
    """A pending job: when it would start, and what would make it start sooner, the best way first."""

    start: ShapeStart
    ways: tuple[Way, ...]
    cluster: str


def read_waiting(job_id: str, pace: Pace | None = None) -> Waiting | None:
    """Return how a job waits; None if it does not, is held, or Slurm does not answer in time.

    Slurm is asked in the rounds of `pace`, by default once a minute at most, however often this is.
    """
    if pace is None:
        pace = _EVERY_MINUTE
        pace.look()
    with suppress(SlurmUnavailable, SlurmRefused):
        return pace.result(("waiting", job_id), lambda: _find_waiting(job_id, pace))
    return None


def _find_waiting(job_id: str, pace: Pace) -> Waiting | None:
    state = pace.answer("queue", lambda: read_queue_state(time.time(), _TIMEOUT_S))
    array, _element, index = job_id.partition("_")
    job = next((each for each in state.pending if each.job_id in (job_id, array)), None)
    if job is None or job.is_blocked:
        return None
    partitions, use = job.request.partitions, None
    with suppress(SlurmUnavailable):  # without it the limits count
        use = pace.answer(("limit use", partitions), lambda: read_limit_use(partitions))
    ahead = int(index) if index.isdecimal() and job.count > 1 else 0
    return describe_waiting(state, job, use, min(ahead, job.count - 1))


def describe_waiting(
    state: QueueState, job: PendingJob, use: LimitUse | None = None, ahead: int = 0
) -> Waiting:
    """Return how `job` waits, behind `ahead` elements of its own array; then no change of it is tried.

    `use` is how much of their limits jobs use; None if nobody knows.
    """
    others = state.without(frozenset({job.job_id.partition("_")[0]}))
    others = replace(others, running=state.running, nodes=state.nodes)
    changes = [] if ahead else list(_changes(others, job))
    if ahead:
        *_, own = forecast_elements(others, replace(job, count=ahead + 1), use)
        forecasts = []
    else:
        requests = [job.request, *(request for _, request in changes)]
        own, *forecasts = forecast_waits(others, requests, use, job)
    start = ShapeStart(
        state.now_s, job.request, own, hides_jobs=state.hides_jobs, hidden_gpus=state.hidden_gpus()
    )
    ways = [
        Way(text, wait_s, shortens=request.limit_s < job.request.limit_s)
        for (text, request), each in zip(changes, forecasts, strict=True)
        if (wait_s := each.expected_s) is not None
    ]
    if not ahead and _SHORTEST_LIMIT_S <= own.hole_s < job.request.limit_s:
        minutes = int(own.hole_s // MINUTE_S)
        ways.append(Way(f"{_update(job)} TimeLimit={minutes}", 0.0, shortens=True))
    return Waiting(start, tuple(_better(ways, own.expected_s)), state.cluster)


def _update(job: PendingJob) -> str:
    return f"scontrol update JobId={job.job_id}"


def _changes(state: QueueState, job: PendingJob) -> Iterator[tuple[str, Request]]:
    """Yield changes of the job that leave it useful: half the time, half the GPUs, each other partition."""
    request, update = job.request, _update(job)
    if _SHORTEST_LIMIT_S * 2 <= request.limit_s < float("inf"):
        minutes = int(request.limit_s / 2 // MINUTE_S)
        yield f"{update} TimeLimit={minutes}", replace(request, limit_s=minutes * MINUTE_S)
    gpus = request.nodes * request.gpus
    if gpus > 1:
        fewer = (
            replace(request, nodes=request.nodes // 2)
            if request.nodes > 1
            else replace(request, gpus=request.gpus // 2)
        )
        yield f"--gpus {fewer.nodes * fewer.gpus} in place of {gpus}", fewer
    for name, rules in state.partitions.items():
        fits = rules.limit_s is None or request.limit_s <= rules.limit_s
        is_usable = rules.is_up and rules.is_open and not rules.is_preempted
        if fits and is_usable and name not in request.partitions:
            yield f"{update} Partition={name}", replace(request, partitions=(name,))


def _better(ways: list[Way], own_s: float | None) -> list[Way]:
    """Return the ways that are worth it, the shortest wait first."""
    gain_s = max(own_s * _LEAST_GAIN, _LEAST_GAIN_S) if own_s is not None else 0.0
    better = [way for way in ways if own_s is None or way.wait_s + gain_s <= own_s]
    return sorted(better, key=lambda way: (way.wait_s, way.shortens))[:_MOST_WAYS]
