"""Forecast the start of new runs, in the process that `begin` starts."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...errors import ClusterplanError
from ...estimator.queue.forecast import forecast_elements
from ...estimator.queue.state import PendingJob, QueueState
from ..run_folder.job_log import read_jobs
from ..slurm.queue.reader import read_limit_use, read_queue_state
from .kept import UNKNOWN, StartForecast, read_start_forecast

_NICENESS = 10  # the user's own commands come first


def keep_forecasts(folders: Sequence[Path]) -> None:
    """Forecast the start of the runs in `folders`, elements of one job in order, and keep it in each folder."""
    with suppress(OSError):
        os.nice(_NICENESS)
    made_s = time.time()
    try:
        forecasts = _forecast(folders, made_s)
    except (ClusterplanError, ValueError, ArithmeticError, LookupError) as error:
        forecasts = [StartForecast(made_s, UNKNOWN, reason=str(error))] * len(folders)
    for folder, forecast in zip(folders, forecasts, strict=True):
        if read_start_forecast(folder) is None:  # a run that goes on keeps that of its first start
            with suppress(OSError):
                forecast.keep(folder)


def _forecast(folders: Sequence[Path], now_s: float) -> list[StartForecast]:
    job_id = read_jobs(folders[0])[-1].job.partition("_")[0]
    state = read_queue_state(now_s)
    job, is_new = _find(state, job_id, now_s)
    if job is None:
        reason = f"job {job_id} was over, or not in the queue, when it was looked for"
        return [StartForecast(now_s, UNKNOWN, reason=reason)] * len(folders)
    use = read_limit_use(job.request.partitions)
    others = state.without(frozenset({job_id}))
    job = replace(job, count=len(folders))
    waits = forecast_elements(others, job, use, is_new=is_new)
    return [StartForecast.of(now_s, wait, state.cluster, ",".join(job.request.partitions)) for wait in waits]


def _find(state: QueueState, job_id: str, now_s: float) -> tuple[PendingJob | None, bool]:
    """Return the job as Slurm has it, and whether its priority is not known any more: it runs already."""
    for job in state.pending:
        if job.job_id.partition("_")[0] == job_id:
            return job, False
    for running in state.running:
        if running.job_id.partition("_")[0] == job_id:
            return PendingJob(job_id, running.user, running.request, 0.0, now_s), True
    return None, False
