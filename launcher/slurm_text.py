"""What Slurm's commands print, as frozen values.  Nothing is asked here: `slurm.py` does that.

Texts are those of Slurm 20.02 and later with LC_ALL=C; times are Unix seconds (SLURM_TIME_FORMAT=%s) or ISO.
Text that users choose (a job's name or comment) is never taken for a key.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ..cluster_profiles.units import MINUTE_S, parse_duration_s

_MIB = 2**20
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

QUEUE_FORMAT = "%i|%T|%V|%S|%e|%l|%Q|%P|%N|%r"
ACCOUNT_FORMAT = "JobID,State,ExitCode,DerivedExitCode,Submit,Start,End,Timelimit,NodeList"
NODE_FORMAT = "%N|%R|%T|%c|%m|%G"


@dataclass(frozen=True)
class QueuedJob:
    """One job, or one element `A_i` of an array, as squeue has it; times are Unix seconds.

    `start_s` of a pending job is when Slurm expects to start it, `end_s` of a running one is its limit.
    """

    job_id: str
    state: str
    reason: str
    nodes: str
    submit_s: float | None
    start_s: float | None
    end_s: float | None
    limit_s: float | None
    priority: int | None
    partition: str


@dataclass(frozen=True)
class JobFacts:
    """One job as `scontrol show job` or sacct has it; None is what that command does not tell.

    `exit_code` and `signal` are those of the batch script, `derived_exit_code` the largest of its steps.
    """

    job_id: str
    state: str
    reason: str
    nodes: str
    exit_code: int | None
    signal: int | None
    derived_exit_code: int | None
    requeue: bool | None
    restarts: int | None
    submit_s: float | None
    start_s: float | None
    end_s: float | None
    limit_s: float | None


@dataclass(frozen=True)
class PartitionFacts:
    """A partition's rules; `limit_s` is None where it has no limit."""

    name: str
    default: bool
    up: bool
    limit_s: float | None
    default_limit_s: float | None
    priority_tier: int
    preempt_mode: str


@dataclass(frozen=True)
class NodeFacts:
    """One node; `gpus` maps the GRES type to how many, "" where Slurm knows no type."""

    name: str
    partitions: tuple[str, ...]
    state: str
    cpus: int
    memory_bytes: int
    gpus: tuple[tuple[str, int], ...]

    @property
    def gpu_count(self) -> int:
        """GPUs of all types."""
        return sum(count for _, count in self.gpus)


@dataclass(frozen=True)
class Settings:
    """What of `scontrol show config` decides how a job fares."""

    version: str
    cluster: str
    requeue: bool
    kill_wait_s: float | None
    min_job_age_s: float | None
    max_array_size: int | None
    enforces_limits: bool
    preempt_type: str
    accounting: bool


@dataclass(frozen=True)
class Forecast:
    """What `sbatch --test-only` says: when and where the job would start, or why it never can."""

    start_s: float | None
    nodes: str
    refusal: str | None


def parse_queue(text: str) -> list[QueuedJob]:
    """The jobs of `squeue --format=QUEUE_FORMAT`.

    >>> parse_queue("7_1|PENDING|1795610546|N/A|N/A|2-00:00:00|9|long||Priority")[0].limit_s
    172800.0
    """
    return [
        _queued(line.split("|", 9))
        for line in text.splitlines()
        if line.count("|") >= QUEUE_FORMAT.count("|")
    ]


def _queued(fields: list[str]) -> QueuedJob:
    job_id, state, submit, start, end, limit, priority, partition, nodes, reason = fields
    return QueuedJob(
        job_id=job_id,
        state=state,
        reason="" if reason == "None" else reason,
        nodes=nodes,
        submit_s=moment_s(submit),
        start_s=moment_s(start),
        end_s=moment_s(end),
        limit_s=limit_s(limit),
        priority=int(priority) if priority.isdecimal() else None,
        partition=partition,
    )


def parse_job(text: str) -> JobFacts | None:
    """The first job of `scontrol --details show job`.

    >>> parse_job('''JobId=5 JobName=x JobState=COMPLETED
    ...    JobState=FAILED Reason=NonZeroExitCode Dependency=(null)
    ...    Requeue=1 Restarts=2 BatchFlag=1 Reboot=0 ExitCode=0:9''').signal
    9
    """
    pairs: dict[str, str] = {}
    for key, value in _pairs(text):
        if key == "JobId" and key in pairs:
            break
        pairs.setdefault(key, value)
    if "JobState" not in pairs:
        return None
    code, signal = _exit(pairs.get("ExitCode", ""))
    array, index = pairs.get("ArrayJobId"), pairs.get("ArrayTaskId", "")
    return JobFacts(
        job_id=f"{array}_{index}" if array else pairs["JobId"],
        state=pairs["JobState"],
        reason=_said(pairs.get("Reason", "")),
        nodes=_said(pairs.get("NodeList", "")),
        exit_code=code,
        signal=signal,
        derived_exit_code=_exit(pairs.get("DerivedExitCode", ""))[0],
        requeue=pairs["Requeue"] == "1" if "Requeue" in pairs else None,
        restarts=int(pairs["Restarts"]) if "Restarts" in pairs else None,
        submit_s=moment_s(pairs.get("SubmitTime", "")),
        start_s=moment_s(pairs.get("StartTime", "")),
        end_s=moment_s(pairs.get("EndTime", "")),
        limit_s=limit_s(pairs.get("TimeLimit", "")),
    )


def parse_account(text: str) -> dict[str, JobFacts]:
    """The jobs of `sacct --allocations --parsable2 --format=ACCOUNT_FORMAT`, by id.

    >>> parse_account("8|CANCELLED by 1000|0:15|0:0|1|2|3|00:30:00|gpu1")["8"].reason
    'by 1000'
    """
    jobs = {}
    for line in text.splitlines():
        if line.count("|") < ACCOUNT_FORMAT.count(","):
            continue
        job_id, state, ended, derived, submit, start, end, limit, nodes = line.split("|", 8)
        code, signal = _exit(ended)
        word, _, more = state.partition(" ")
        jobs[job_id] = JobFacts(
            job_id=job_id,
            state=word,
            reason=more,
            nodes="" if nodes == "None assigned" else nodes,
            exit_code=code,
            signal=signal,
            derived_exit_code=_exit(derived)[0],
            requeue=None,
            restarts=None,
            submit_s=moment_s(submit),
            start_s=moment_s(start),
            end_s=moment_s(end),
            limit_s=limit_s(limit),
        )
    return jobs


def parse_partitions(text: str) -> list[PartitionFacts]:
    """The partitions of `scontrol --oneliner show partition`.

    >>> parse_partitions("PartitionName=a Default=YES MaxTime=1-00:00:00 DefaultTime=NONE State=UP")[0].limit_s
    86400.0
    """
    return [
        PartitionFacts(
            name=pairs["PartitionName"],
            default=pairs.get("Default") == "YES",
            up=pairs.get("State") == "UP",
            limit_s=limit_s(pairs.get("MaxTime", "")),
            default_limit_s=limit_s(pairs.get("DefaultTime", "")),
            priority_tier=int(pairs.get("PriorityTier", "1")),
            preempt_mode=pairs.get("PreemptMode", ""),
        )
        for pairs in (dict(_words(line)) for line in text.splitlines())
        if "PartitionName" in pairs
    ]


def parse_nodes(text: str) -> list[NodeFacts]:
    """The nodes of `sinfo --Node --format=NODE_FORMAT`, each once with all its partitions.

    >>> parse_nodes("n1|gpu|idle|16|64000|gpu:a100:4(S:0-1),shard:8")[0].gpus
    (('a100', 4),)
    """
    rows = [line.split("|", 5) for line in text.splitlines() if line.count("|") >= NODE_FORMAT.count("|")]
    partitions: dict[str, list[str]] = {}
    for name, partition, *_ in rows:
        partitions.setdefault(name, []).append(partition)
    return [
        NodeFacts(name, tuple(sorted(partitions[name])), state, int(cpus), int(memory) * _MIB, _gpus(gres))
        for name, _, state, cpus, memory, gres in {row[0]: row for row in rows}.values()
    ]


def parse_settings(text: str) -> Settings:
    """The settings of `scontrol show config`.

    >>> parse_settings("JobRequeue = 0\\nKillWait = 30 sec\\nAccountingStorageType = (null)").kill_wait_s
    30.0
    """
    found = {
        key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())
    }
    size = found.get("MaxArraySize", "")
    return Settings(
        version=found.get("SLURM_VERSION", ""),
        cluster=found.get("ClusterName", ""),
        requeue=found.get("JobRequeue", "1") != "0",
        kill_wait_s=_seconds(found.get("KillWait", "")),
        min_job_age_s=_seconds(found.get("MinJobAge", "")),
        max_array_size=int(size) if size.isdecimal() else None,
        enforces_limits=found.get("EnforcePartLimits", "NO") != "NO",
        preempt_type=found.get("PreemptType", ""),
        accounting=found.get("AccountingStorageType", "") not in ("", "(null)", "accounting_storage/none"),
    )


def parse_forecast(text: str) -> Forecast:
    """The answer of `sbatch --test-only`.

    >>> parse_forecast("sbatch: Job 7 to start at 1795668748 using 3 processors on nodes gpu[1-3] in partition a")
    Forecast(start_s=1795668748.0, nodes='gpu[1-3]', refusal=None)
    >>> parse_forecast("allocation failure: Invalid partition name specified").refusal
    'Invalid partition name specified'
    """
    if found := re.search(r"Job \S+ to start at (\S+) .*?on nodes (\S+)", text):
        return Forecast(moment_s(found[1]), found[2], None)
    return Forecast(None, "", last_words(text))


def last_words(text: str) -> str:
    """What a command of Slurm complains of last, without its own name.

    >>> last_words("sbatch: error: Batch job submission failed: Invalid qos specification\\n")
    'Batch job submission failed: Invalid qos specification'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "no reason given"
    return re.sub(r"^(?:\w+: )?(?:(?:error|fatal|allocation failure): )?", "", lines[-1])


def moment_s(text: str) -> float | None:
    """A time of Slurm in Unix seconds; None for N/A, Unknown and the like.

    >>> moment_s("1795610546"), moment_s("Unknown")
    (1795610546.0, None)
    """
    if text.isdecimal():
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()  # Slurm prints the zone of this machine
    except ValueError:
        return None


def limit_s(text: str) -> float | None:
    """A time limit of Slurm in seconds, a bare number in minutes; None for UNLIMITED, NONE and the like.

    >>> limit_s("1-00:00:00"), limit_s("2:00"), limit_s("30"), limit_s("UNLIMITED")
    (86400.0, 120.0, 1800.0, None)
    """
    if text.isdecimal():
        return float(int(text) * MINUTE_S)
    try:
        return parse_duration_s(text)
    except ValueError:
        return None


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        for match in re.finditer(r"(?:^|\s)([A-Za-z][\w/:]*)=(\S*)", line):
            if match[1] in _FREE_TEXT:
                break
            yield match[1], match[2]


def _words(line: str) -> Iterator[tuple[str, str]]:
    for word in line.split():
        key, equals, value = word.partition("=")
        if equals:
            yield key, value


def _gpus(gres: str) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *kind, count = entry.split(":") if ":" in entry else (entry, "0")
        if name == "gpu" and count.isdecimal():
            key = ":".join(kind)
            counts[key] = counts.get(key, 0) + int(count)
    return tuple(counts.items())


def _exit(text: str) -> tuple[int | None, int | None]:
    code, _, signal = text.partition(":")
    return (int(code), int(signal)) if code.isdecimal() and signal.isdecimal() else (None, None)


def _said(value: str) -> str:
    return "" if value in ("None", "(null)") else value


def _seconds(text: str) -> float | None:
    found = re.match(r"\d+", text)
    return float(found[0]) if found else None
