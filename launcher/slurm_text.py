"""What Slurm's commands print, as values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class QueuedJob:
    """A job as squeue lists it; times are Unix seconds, None where Slurm does not know."""

    job: str
    state: str
    reason: str
    nodes: str
    start_s: float | None
    end_s: float | None
    submitted_s: float | None
    time_limit: str


@dataclass(frozen=True)
class JobFacts:
    """A job as scontrol shows it; `requeue` says whether Slurm may put it back into the queue."""

    state: str
    reason: str
    exit_code: int
    signal: int
    requeue: bool
    restarts: int
    nodes: str


def parse_queue(text: str) -> Iterator[QueuedJob]:
    """The lines of squeue.

    >>> next(parse_queue("7_1|PENDING|Resources||N/A|N/A|1700000000|1:00:00")).state
    'PENDING'
    """
    for line in text.splitlines():
        parts = line.strip().split("|")
        if len(parts) == 8:  # noqa: PLR2004  our own format
            job, state, reason, nodes, start, end, submitted, limit = parts
            yield QueuedJob(job, state, reason, nodes, _time(start), _time(end), _time(submitted), limit)


def parse_job(text: str) -> JobFacts | None:
    """One line of `scontrol --oneliner show job`; the last start of a job that was restarted.

    >>> parse_job("JobId=7 JobName=a JobState=FAILED Reason=NonZeroExitCode Requeue=1 Restarts=2 ExitCode=3:0").exit_code
    3
    """
    found = dict(re.findall(r"(\w+)=(\S*)", text))
    if "JobState" not in found:
        return None
    code, _, number = found.get("ExitCode", "0:0").partition(":")
    return JobFacts(
        state=found["JobState"],
        reason=found.get("Reason", "None"),
        exit_code=int(code),
        signal=int(number or 0),
        requeue=found.get("Requeue") == "1",
        restarts=int(found.get("Restarts", "0")),
        nodes=found.get("NodeList", ""),
    )


def _time(text: str) -> float | None:
    return float(text) if text.isdecimal() else None
