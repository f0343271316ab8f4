"""When each shape of a job would start and end, if it were submitted now."""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ...cluster_profiles.profile import ClusterProfile
from ...errors import HistoryError, ProfileError, SlurmUnavailable
from ...estimator.estimate.estimate import Estimate
from ...estimator.estimate.shapes import judge
from ...estimator.queue.forecast import forecast_waits
from ...estimator.queue.record import Correction, learn_correction
from ...estimator.queue.shape_start import ShapeStart, correct, end_of
from ...estimator.queue.state import QueueState, Request
from ...estimator.queue.wait import Basis, WaitForecast
from ...launcher.forecast.request import find_obstacle, queue_request
from ...launcher.run_folder.folder import file_exists, history_path
from ...launcher.slurm import client as slurm
from ...launcher.slurm.cluster_reader import read_cluster
from ...launcher.slurm.discovery import build_profile
from ...launcher.slurm.queue.reader import read_limit_use, read_queue_state
from ...launcher.submission.destination import find_standing_options
from ...launcher.submission.request import SlurmRequest, request_of

if TYPE_CHECKING:
    from ..estimate import JobEstimate

_MOST_CHECKED = 8  # shapes that sbatch is asked about: each question uses up a job id


def read_slurm_profile() -> ClusterProfile | None:
    """Return the profile of the Slurm that answers here; None if it has no GPUs.  Raises SlurmUnavailable."""
    check_slurm()
    with suppress(ProfileError):
        return build_profile(read_cluster()).profile
    return None


def check_slurm() -> None:
    """Raise SlurmUnavailable if no Slurm can be asked from this machine."""
    if not slurm.is_available():
        raise SlurmUnavailable(
            "--queue: sbatch is not found here: ask on a machine that submits to Slurm, or leave out --queue"
        )


def with_starts(estimates: "tuple[JobEstimate, ...]", deadline_s: float | None) -> "tuple[JobEstimate, ...]":
    """Return the estimates with their starts; a deadline is held against the end of each, which counts the queue.

    Raises SlurmUnavailable and SlurmRefused.
    """
    starts = forecast_shapes(estimates)
    ends = [None if start.refusal else start.ends_s for start in starts]
    verdicts = [
        e.verdicts if deadline_s is None else replace(e.verdicts, deadline=judge(end, deadline_s))
        for e, end in zip(estimates, ends, strict=True)
    ]
    rows = zip(estimates, starts, verdicts, strict=True)
    return tuple(replace(e, start=start, verdicts=verdict) for e, start, verdict in rows)


def forecast_shapes(estimates: Sequence[Estimate]) -> list[ShapeStart]:
    """Return when each estimated shape would start and end as a new job.  Raises SlurmUnavailable and SlurmRefused."""
    check_slurm()
    requests = [request_of(estimate) for estimate in estimates]
    standing = {name: option.value for name, option in find_standing_options(os.environ).items()}
    with ThreadPoolExecutor() as pool:
        refusals = pool.map(partial(_refusal, standing), requests[:_MOST_CHECKED])
        state = read_queue_state(time.time())
    wanted = [queue_request(request, state) for request in requests]
    use = read_limit_use(sorted({name for each in wanted for name in each.partitions}))
    forecasts = forecast_waits(state, wanted, use)
    correction = read_correction(forecasts[0].basis, state.cluster)
    refused = [*refusals, *[None] * len(requests)]
    return [
        _shape_start(state, estimate, correct(forecast, correction), request, refusal)
        for estimate, forecast, request, refusal in zip(
            estimates,
            forecasts,
            wanted,
            [find_obstacle(each, state) or words for each, words in zip(wanted, refused, strict=False)],
            strict=True,
        )
    ]


def read_correction(basis: Basis, cluster: str) -> Correction | None:
    """Return the correction that this cluster's record of forecasts calls for; None without enough of them."""
    path = history_path(os.environ)
    if not file_exists(path):
        return None
    from ...estimator.history.runs import History  # noqa: PLC0415  SQLite, where there is no history

    try:
        with History(path) as history:
            return learn_correction(history.start_forecasts(str(basis), cluster))
    except HistoryError:
        return None


def _shape_start(
    state: QueueState, estimate: Estimate, forecast: WaitForecast, request: Request, refusal: str | None
) -> ShapeStart:
    jobs = estimate.clock.segments or 1
    seen = state.seen_from(request.partitions)
    return ShapeStart(
        state.now_s,
        request,
        forecast,
        ends_s=end_of(forecast, estimate.clock.total, jobs),
        jobs=jobs,
        refusal=refusal,
        hides_jobs=state.hides_jobs,
        hidden_gpus=seen.hidden_gpus(),
    )


def _refusal(standing: Mapping[str, object], request: SlurmRequest) -> str | None:
    """Return why Slurm would never start such a job, in its words; its forecast of the start is of no use here.

    `standing` are the options that this user's jobs have where they state none.
    """
    stated = request.booked()
    options = [f"--{name}={value}" for name, value in standing.items() if name not in stated]
    with suppress(SlurmUnavailable):
        return slurm.forecast_start((*options, *request.booked_options())).refusal
    return None
