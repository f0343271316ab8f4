"""The queue as Slurm shows it now; Slurm is asked every 30 s at most, however many people look."""

import time

from ...cluster_profiles.local_time import format_local_time
from ...cluster_profiles.units import format_duration, plural
from ...errors import ClusterplanError
from ...estimator.queue.state import PendingJob, QueueState, RunningJob
from ...launcher.slurm.client import is_available
from ...launcher.slurm.queue.reader import read_queue_state
from ..answer import Answer
from ..api.answers import Request
from ..site import Site
from .frame import page
from .html import Html, Part, facts, join, prose, table, tag

_EVERY_S = 30.0
_MOST = 200  # jobs of a table
_NO_SLURM = (
    "There is no Slurm on this machine: `sbatch` is not found. Run `clusterplan serve` on a machine that submits "
    "to Slurm, such as a login node, to see its queue here."
)


async def show_queue(site: Site, request: Request) -> Answer:
    """Answer running and pending jobs, and the GPUs that are free."""
    request.query.check_keys(())
    try:
        state = await site.recent("queue", _EVERY_S, _read)
    except ClusterplanError as error:
        shown = tag("p", prose(str(error)), class_="callout", role="status")
    else:
        shown = render_queue(state) if state else tag("p", prose(_NO_SLURM), role="status")
    return page("Queue", "queue", shown, database=site.database)


def _read() -> QueueState | None:
    return read_queue_state(time.time()) if is_available() else None


def render_queue(state: QueueState) -> Html:
    """Return the GPUs in use, and a table each of pending and running jobs."""
    up = [node for node in state.nodes if node.is_up and node.gpus_in_all]
    gpus, used = sum(node.gpus_in_all for node in up), sum(node.used_gpus for node in up)
    figures = facts(
        [
            ("GPUs in use", f"{used:,} of {gpus:,}", f"on {plural(len(up), 'node')} that are up"),
            ("Running", f"{len(state.running):,}", "jobs"),
            ("Pending", f"{sum(job.count for job in state.pending):,}", "jobs"),
            ("As of", format_local_time(state.now_s, state.now_s), "asked every 30 s at most"),
        ]
    )
    pending = sorted(state.pending, key=lambda job: -job.priority)[:_MOST]
    running = sorted(state.running, key=lambda job: job.limit_end_s)[:_MOST]
    header = ("job", "user", "partition", "GPUs", "limit")
    return join(
        figures,
        tag("p", "The site hides other users' jobs.", class_="quiet") if state.hides_jobs else None,
        tag("h2", "Pending, first in line first"),
        table("Pending", (*header, "waits", ""), [_pending(job, state.now_s) for job in pending], (3, 4, 5))
        if pending
        else tag("p", "None."),
        _left_out(len(pending), len(state.pending)),
        tag("h2", "Running, by the end of their limits"),
        table(
            "Running", (*header, "limit ends in"), [_running(job, state.now_s) for job in running], (3, 4, 5)
        )
        if running
        else tag("p", "None."),
        _left_out(len(running), len(state.running)),
    )


def _left_out(shown: int, count: int) -> Html | None:
    return tag("p", f"The first {shown:,} of {count:,}.", class_="quiet") if shown < count else None


def _pending(job: PendingJob, now_s: float) -> list[Part]:
    wait_s = max(now_s - job.submitted_s, 0.0)
    remarks = [f"{job.count:,} jobs of an array"] if job.count > 1 else []
    remarks += ["held, or at a limit"] if job.is_blocked else []
    return [*_job(job), format_duration(wait_s) if wait_s else "0", "; ".join(remarks)]


def _running(job: RunningJob, now_s: float) -> list[Part]:
    left_s = job.limit_end_s - now_s
    return [*_job(job), _length(max(left_s, 0.0))]


def _job(job: PendingJob | RunningJob) -> list[Part]:
    request = job.request
    return [
        job.job_id,
        job.user,
        ", ".join(request.partitions),
        f"{request.gpus * request.nodes:,}",
        _length(request.limit_s),
    ]


def _length(seconds: float) -> str:
    return "none" if seconds == float("inf") else format_duration(seconds) if seconds else "0"
