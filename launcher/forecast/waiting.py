"""A job that waits in Slurm's queue: its place, when it would start, and what would make it start sooner."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from ...cluster_profiles.units import MINUTE_S
from ...errors import SlurmRefused, SlurmUnavailable
from ...estimator.queue.forecast import forecast_waits
from ...estimator.queue.shape_start import ShapeStart
from ...estimator.queue.state import PendingJob, QueueState, Request
from ..slurm.queue.reader import read_limit_use, read_queue_state

_TIMEOUT_S = 5.0
_SHORTEST_LIMIT_S = 600.0  # that is worth a job
_LEAST_GAIN, _LEAST_GAIN_S = 0.2, 300.0  # of the wait, to be worth saying
_MOST_WAYS = 3


@dataclass(frozen=True)
class Way:
    """A change of a job that would make it start sooner, as a command or in words, and its wait then in seconds."""

    text: str
    wait_s: float


@dataclass(frozen=True)
class Waiting:
    """A pending job: when it would start, and what would make it start sooner, the best way first."""

    start: ShapeStart
    ways: tuple[Way, ...]
    cluster: str


def read_waiting(job_id: str) -> Waiting | None:
    """Return how a job waits; None if it does not, is held, or Slurm does not answer in time.

    Slurm is asked once a minute at most, however often this is.
    """
    return _read(job_id, int(time.time() // MINUTE_S))


@lru_cache(maxsize=1)
def _read(job_id: str, _: int) -> Waiting | None:
    with suppress(SlurmUnavailable, SlurmRefused):
        state = read_queue_state(time.time(), _TIMEOUT_S)
        array, _element, index = job_id.partition("_")
        job = next((each for each in state.pending if each.job_id in (job_id, array)), None)
        if job and not job.is_blocked:
            ahead = int(index) if index.isdecimal() and job.count > 1 else 0
            return describe_waiting(state, job, min(ahead, job.count - 1))
    return None


def describe_waiting(state: QueueState, job: PendingJob, ahead: int = 0) -> Waiting:
    """Return how `job` waits, behind `ahead` elements of its own array."""
    others = state.without(frozenset({job.job_id.partition("_")[0]}))
    others = replace(others, running=state.running, nodes=state.nodes)
    if ahead:
        others = replace(
            others,
            pending=(*others.pending, replace(job, job_id="", count=ahead, submitted_s=job.submitted_s - 1)),
        )
    ways = list(_ways(others, job))
    use = read_limit_use(job.request.partitions)
    requests = [job.request, *(request for _, request in ways)]
    own, *forecasts = forecast_waits(others, requests, use, job)
    start = ShapeStart(
        state.now_s, job.request, own, hides_jobs=state.hides_jobs, hidden_gpus=state.hidden_gpus()
    )
    texts = [text for text, _ in ways]
    if own.hole_s >= _SHORTEST_LIMIT_S and own.expected_s and own.hole_s < job.request.limit_s:
        minutes = int(own.hole_s // MINUTE_S)
        texts = [f"scontrol update JobId={job.job_id} TimeLimit={minutes}", *texts]
        forecasts = [replace(own, by_limits_s=0.0, wait_s=None), *forecasts]
    waits = [(text, each.expected_s) for text, each in zip(texts, forecasts, strict=True)]
    return Waiting(start, tuple(_better(waits, own.expected_s)), state.cluster)


def _ways(state: QueueState, job: PendingJob) -> Iterator[tuple[str, Request]]:
    """Yield changes of the job that leave it useful: half the time, half the GPUs, each other partition."""
    request, update = job.request, f"scontrol update JobId={job.job_id}"
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
        fits = rules.is_up and (rules.limit_s is None or request.limit_s <= rules.limit_s)
        if fits and name not in request.partitions:
            yield f"{update} Partition={name}", replace(request, partitions=(name,))


def _better(waits: list[tuple[str, float | None]], own_s: float | None) -> list[Way]:
    ways = [Way(text, wait_s) for text, wait_s in waits if wait_s is not None]
    gain_s = max(own_s * _LEAST_GAIN, _LEAST_GAIN_S) if own_s is not None else 0.0
    better = [way for way in ways if own_s is None or way.wait_s + gain_s <= own_s]
    return sorted(better, key=lambda way: way.wait_s)[:_MOST_WAYS]
