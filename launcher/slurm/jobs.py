"""What Slurm's commands print of jobs, as frozen values.  Nothing is asked here: `client` does that.

Text that users choose (a job's name or comment) is never taken for a key.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from .text import last_complaint, parse_limit_s, parse_slurm_time_s

# From these keys of `scontrol show job` on, a line is free text.
_FREE_TEXT = {
    "JobName",
    "Command",
    "WorkDir",
    "Comment",
    "AdminComment",
    "SystemComment",
    "StdErr",
    "StdIn",
    "StdOut",
}

PREEMPTED = "PREEMPTED"  # a state, as Slurm spells it
QUEUE_FORMAT = "%i|%T|%S|%e|%l|%P|%N|%r"
_WIDTH = 4096  # of a path in squeue
OWNER_FORMAT = f"JobArrayID:48,UserID:24,StdOut:{_WIDTH}"
ACCOUNT_FORMAT = "JobID,State,ExitCode,Start,End,Timelimit,NodeList"


@dataclass(frozen=True)
class QueuedJob:
    """One job, or one element `A_i` of an array, as squeue has it; times are Unix seconds.

    `start_s` of a pending job is when Slurm expects to start it, `end_s` of a running one is its limit.
    """

    job_id: str
    state: str
    reason: str
    nodes: str
    start_s: float | None
    end_s: float | None
    limit_s: float | None
    partition: str


@dataclass(frozen=True)
class JobFacts:
    """One job as `scontrol show job` or sacct has it; None where that command does not tell.

    `exit_code` is that of the batch script; `preempt_s` is when the grace of a preemption began; `run_s` is how long it
    has run.
    """

    job_id: str
    state: str
    reason: str
    nodes: str
    exit_code: int | None
    requeue: bool | None
    restarts: int | None
    start_s: float | None
    end_s: float | None
    limit_s: float | None
    preempt_s: float | None = None
    run_s: float | None = None

    @property
    def left_s(self) -> float | None:
        """Return the seconds until Slurm ends the job, whatever the clocks of others say; None without a limit.

        RunTime does not count the time in which a job was suspended, and nor does its limit; a preemption's grace ends it
        earlier.
        """
        if self.limit_s is None or self.end_s is None:
            return None
        if self.run_s is None or self.start_s is None:
            return None
        return max(min(self.limit_s, self.end_s - self.start_s) - self.run_s, 0.0)


@dataclass(frozen=True)
class JobOwner:
    """Whose a job is, and the file for what it prints, which is in the folder of its run."""

    uid: int
    output: PurePath

    def __str__(self) -> str:
        return f"of user {self.uid}, and prints into {self.output}"


@dataclass(frozen=True)
class StartForecast:
    """What `sbatch --test-only` says: when and where the job would start, or why it never can."""

    start_s: float | None
    nodes: str
    refusal: str | None


def parse_job_owners(text: str) -> dict[str, JobOwner]:
    """Return whose each job is that `squeue --Format=OWNER_FORMAT` names; skip any other line, such as a site's banner.

    >>> parse_job_owners("7_1  1000  /runs/my net-1/submitit/7_1_0_log.out ")["7_1"].output.name
    '7_1_0_log.out'
    """
    rows = (line.split(maxsplit=2) for line in text.splitlines())
    return {
        row[0]: JobOwner(int(row[1]), PurePath("".join(row[2:]).rstrip()))
        for row in rows
        if len(row) > 1 and row[0][:1].isdecimal() and row[1].isdecimal()
    }


def parse_queue(text: str) -> list[QueuedJob]:
    """Return the jobs of `squeue --format=QUEUE_FORMAT`.

    >>> parse_queue("7_1|PENDING|N/A|N/A|2-00:00:00|long||Priority")[0].limit_s
    172800.0
    """
    return [
        _queued_job(line.split("|", QUEUE_FORMAT.count("|")))
        for line in text.splitlines()
        if line.count("|") >= QUEUE_FORMAT.count("|") and line[:1].isdecimal()  # not a site's banner
    ]


def _queued_job(fields: list[str]) -> QueuedJob:
    job_id, state, start, end, limit, partition, nodes, reason = fields
    return QueuedJob(
        job_id=job_id,
        state=state,
        reason="" if reason == "None" else reason,
        nodes=nodes,
        start_s=parse_slurm_time_s(start),
        end_s=parse_slurm_time_s(end),
        limit_s=parse_limit_s(limit),
        partition=partition,
    )


def parse_job(text: str) -> JobFacts | None:
    """Return the first job of `scontrol --details show job`.

    >>> parse_job('''JobId=5 JobName=x JobState=COMPLETED
    ...    JobState=FAILED Reason=NonZeroExitCode Dependency=(null)
    ...    Requeue=1 Restarts=2 BatchFlag=1 Reboot=0 ExitCode=1:0''').exit_code
    1
    """
    pairs: dict[str, str] = {}
    for key, value in _pairs(text):
        if key == "JobId" and key in pairs:
            break
        pairs.setdefault(key, value)
    if "JobState" not in pairs:
        return None
    array, index = pairs.get("ArrayJobId"), pairs.get("ArrayTaskId", "")
    return JobFacts(
        job_id=f"{array}_{index}" if array else pairs["JobId"],
        state=pairs["JobState"],
        reason=_value(pairs.get("Reason", "")),
        nodes=_value(pairs.get("NodeList", "")),
        exit_code=_exit_code(pairs.get("ExitCode", "")),
        requeue=pairs["Requeue"] == "1" if "Requeue" in pairs else None,
        restarts=int(pairs["Restarts"]) if "Restarts" in pairs else None,
        start_s=parse_slurm_time_s(pairs.get("StartTime", "")),
        end_s=parse_slurm_time_s(pairs.get("EndTime", "")),
        limit_s=parse_limit_s(pairs.get("TimeLimit", "")),
        preempt_s=parse_slurm_time_s(pairs.get("PreemptTime", "")),
        run_s=parse_limit_s(pairs.get("RunTime", "")),
    )


def parse_account(text: str) -> dict[str, JobFacts]:
    """Return the jobs of `sacct --allocations --parsable2 --format=ACCOUNT_FORMAT`, by id; skip any other line.

    >>> parse_account("8|CANCELLED by 1000|0:15|2|3|00:30:00|gpu1")["8"].reason
    'by 1000'
    """
    jobs = {}
    for line in text.splitlines():
        if line.count("|") != ACCOUNT_FORMAT.count(","):  # no value of the format can hold a `|`
            continue
        job_id, state, exit_code, start, end, limit, nodes = line.split("|")
        word, _, more = state.partition(" ")
        jobs[job_id] = JobFacts(
            job_id=job_id,
            state=word,
            reason=more,
            nodes="" if nodes == "None assigned" else nodes,
            exit_code=_exit_code(exit_code),
            requeue=None,
            restarts=None,
            start_s=parse_slurm_time_s(start),
            end_s=parse_slurm_time_s(end),
            limit_s=parse_limit_s(limit),
        )
    return jobs


def parse_forecast(text: str) -> StartForecast:
    """Return the answer of `sbatch --test-only`.

    >>> parse_forecast("sbatch: Job 7 to start at 1795668748 using 3 processors on nodes gpu[1-3] in partition a")
    StartForecast(start_s=1795668748.0, nodes='gpu[1-3]', refusal=None)
    >>> parse_forecast("allocation failure: Invalid partition name specified").refusal
    'Invalid partition name specified'
    """
    if match := re.search(r"Job \S+ to start at (\S+) .*?on nodes (\S+)", text):
        return StartForecast(parse_slurm_time_s(match[1]), match[2], None)
    return StartForecast(None, "", last_complaint(text))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        for match in re.finditer(r"(?:^|\s)([A-Za-z][\w/:]*)=(\S*)", line):
            if match[1] in _FREE_TEXT:
                break
            yield match[1], match[2]


def _exit_code(text: str) -> int | None:
    """Return the code in `code:signal`."""
    code = text.partition(":")[0]
    return int(code) if code.isdecimal() else None


def _value(value: str) -> str:
    return "" if value in ("None", "(null)") else value
