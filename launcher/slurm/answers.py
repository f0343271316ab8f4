"""What Slurm says of some jobs: its queue, and its accounting of those that the queue no longer has."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ...errors import SlurmRefused, SlurmUnavailable
from . import client as slurm
from .jobs import JobFacts, QueuedJob


@dataclass(frozen=True)
class SlurmAnswers:
    """The jobs of this user, by id, as Slurm showed them at `asked_s` of the monotonic clock.

    `cluster` is the one that answers here; `silence` says why it does not.
    """

    asked_s: float
    silence: str = ""
    queue: Mapping[str, QueuedJob] = field(default_factory=dict)
    accounting: Mapping[str, JobFacts] = field(default_factory=dict)
    cluster: str | None = None

    @property
    def answers(self) -> bool:
        """Return whether Slurm answered."""
        return not self.silence

    @property
    def age_s(self) -> float:
        """Return how long ago Slurm was asked."""
        return time.monotonic() - self.asked_s

    def queued_job(self, job_id: str) -> QueuedJob | None:
        """Return a job as squeue shows it: an array that was cancelled before any of its runs began is one job to it."""
        return self.queue.get(job_id) or self.queue.get(job_id.partition("_")[0])

    def other_cluster(self, cluster: str | None) -> str | None:
        """Return the cluster of a job if it is another one: its job ids are in use here too."""
        return cluster if self.cluster and cluster != self.cluster else None


def read_answers(cluster_of: Mapping[str, str | None]) -> SlurmAnswers:
    """Return what Slurm says of jobs, given with their clusters; without any it is not asked."""
    asked_s = time.monotonic()
    if not cluster_of:
        return SlurmAnswers(asked_s)
    with ThreadPoolExecutor() as pool:
        cluster = pool.submit(_read_cluster)
        try:
            queue = {job.job_id: job for job in slurm.read_queue()}
        except (SlurmRefused, SlurmUnavailable) as error:
            return SlurmAnswers(asked_s, silence=str(error))
    answers = SlurmAnswers(asked_s, queue=queue, cluster=cluster.result())
    missing = [job for job, of in cluster_of.items() if job not in queue and not answers.other_cluster(of)]
    return replace(answers, accounting=_read_accounting(missing)) if missing else answers


def _read_cluster() -> str | None:
    """Return the name of the Slurm that answers here."""
    with suppress(SlurmRefused, SlurmUnavailable):
        return slurm.read_settings().cluster or None
    return None


def _read_accounting(jobs: Sequence[str]) -> Mapping[str, JobFacts]:
    with suppress(SlurmRefused, SlurmUnavailable):
        return slurm.read_accounting(jobs) or {}
    return {}
