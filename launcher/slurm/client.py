"""The only module that asks Slurm.  Answers are the frozen values of `jobs` and `read_nodes`.

Every question has a time limit, is asked in plain English and Unix seconds, and does not see the options a user
keeps in SQUEUE_*, SBATCH_* and the like, but for `read_standing_options`.  Raises SlurmUnavailable where nobody answers, and SlurmRefused where
Slurm says no.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from ...errors import SlurmRefused, SlurmUnavailable
from .cluster import Cluster
from .jobs import (
    ACCOUNT_FORMAT,
    QUEUE_FORMAT,
    JobFacts,
    QueuedJob,
    StartForecast,
    parse_account,
    parse_forecast,
    parse_job,
    parse_queue,
)
from .nodes import (
    NODE_FORMAT,
    NodeFacts,
    PartitionFacts,
    SlurmSettings,
    parse_nodes,
    parse_partitions,
    parse_settings,
)
from .text import last_complaint

_JOBS_A_QUESTION = 500  # an argument has at most 128 KiB, and Slurm answers within its time limit
TIMEOUT_S = 20.0  # Slurm's own clients give up on a connection after 10
_OURS = ("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SINFO_", "SCONTROL_", "SCANCEL_", "SACCT_")
_KEPT = {"SLURM_CONF"}
_STANDING = ("account", "qos", "reservation")  # who pays, and by which rules
_NOBODY_ANSWERS = re.compile(
    r"(?:unable to|could not) (?:contact|process configuration|establish|determine)|connect(?:ion)? (?:failure|refused)"
    r"|timed out|zero bytes were transmitted|authentication",
    re.IGNORECASE,
)
_FORGOTTEN = re.compile(r"invalid job id|job \S+ not found", re.IGNORECASE)
_JOB_ID = re.compile(r"\d+(?:_\d+)?")


def is_available() -> bool:
    """Whether jobs can be submitted from this machine: sbatch is on PATH."""
    return shutil.which("sbatch") is not None


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what Slurm put there for the job we may be in, or a user for its commands.

    A job submitted from inside a job would else inherit its shape, and fail.

    >>> clean_environment({"SLURM_JOB_ID": "7", "SLURM_CONF": "/etc/slurm.conf", "HOME": "/root"})
    {'SLURM_CONF': '/etc/slurm.conf', 'HOME': '/root'}
    """
    return {name: value for name, value in environ.items() if name in _KEPT or not name.startswith(_OURS)}


def read_standing_options(environ: Mapping[str, str]) -> dict[str, str]:
    """Options of sbatch that a user keeps for every job in its variables.

    The others are those of a job's shape, which is ours to say.

    >>> read_standing_options({"SBATCH_ACCOUNT": "lab", "SBATCH_QOS": "", "SBATCH_PARTITION": "cpu"})
    {'account': 'lab'}
    """
    kept = {name: environ.get(f"SBATCH_{name.upper()}") for name in _STANDING}
    return {name: value for name, value in kept.items() if value}


def read_queue(job_ids: Iterable[str] | None = None) -> list[QueuedJob]:
    """These jobs, or all of this user's; those that Slurm has forgotten are left out.

    Ended jobs are remembered for MinJobAge, 300 s unless the site changed it.  Each element of an array is a job `A_i`.
    """
    if job_ids is None:
        chosen = [f"--user={os.getuid()}"]
    else:
        chosen = _by_id(job_id for job_id in job_ids if _JOB_ID.fullmatch(job_id))
    asked = ("squeue", "--states=all", "--array", "--noheader", f"--format={QUEUE_FORMAT}")
    return [found for whose in chosen for found in parse_queue(_told(*asked, whose, may_be_forgotten=True))]


def read_job(job_id: str) -> JobFacts | None:
    """What Slurm knows of one job; None when it has forgotten it."""
    return parse_job(_told("scontrol", "--details", "show", "job", job_id, may_be_forgotten=True))


def read_accounting(job_ids: Iterable[str]) -> dict[str, JobFacts] | None:
    """These jobs from the accounting database, by id; None where the cluster keeps none."""
    if not _accounting_answers():
        return None
    asked = ("sacct", "--allocations", "--noheader", "--parsable2", f"--format={ACCOUNT_FORMAT}")
    found: dict[str, JobFacts] = {}
    for whose in _by_id(job_ids):
        found |= parse_account(_told(*asked, whose, may_be_forgotten=True))
    return found


def _by_id(job_ids: Iterable[str]) -> list[str]:
    """The option that chooses these jobs, as often as their number takes."""
    return [f"--jobs={','.join(asked)}" for asked in _batches(sorted(set(job_ids)))]


def _batches(job_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(job_ids), _JOBS_A_QUESTION):
        yield job_ids[first : first + _JOBS_A_QUESTION]


def cancel(*job_ids: str) -> None:
    """End jobs, or elements of an array; one that has ended already is no error."""
    for chosen in _batches(job_ids):
        _told("scancel", *chosen, may_be_forgotten=True)


def requeue(job_id: str) -> None:
    """End a running job and put it back into the queue under the same id."""
    _told("scontrol", "requeue", job_id)


def read_partitions() -> list[PartitionFacts]:
    """The partitions this user may see."""
    return parse_partitions(_told("scontrol", "--oneliner", "show", "partition"))


def read_nodes() -> list[NodeFacts]:
    """The nodes this user may see."""
    return parse_nodes(_told("sinfo", "--Node", "--noheader", f"--format={NODE_FORMAT}"))


def read_settings() -> SlurmSettings:
    """How the cluster is set up."""
    return parse_settings(_told("scontrol", "show", "config"))


def read_cluster() -> Cluster:
    """Partitions, nodes and settings: three questions, asked at once."""
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(read_partitions), pool.submit(read_nodes), pool.submit(read_settings)
    return Cluster(tuple(asked[0].result()), tuple(asked[1].result()), asked[2].result())


def forecast_start(options: Sequence[str]) -> StartForecast:
    """When and where a job with these options of sbatch would start, or why it never can.

    It uses up a job id.  A walltime above the partition's limit is not refused here: that job waits for ever.
    """
    done = _asked("sbatch", "--test-only", *options, "--wrap=true")
    if done.returncode and _NOBODY_ANSWERS.search(done.stderr):
        raise SlurmUnavailable(f"Slurm does not answer: sbatch says {last_complaint(done.stderr)!r}")
    return parse_forecast(done.stderr)


@cache
def _accounting_answers() -> bool:
    try:
        return _asked("sacct", "--allocations", "--noheader", "--jobs=1").returncode == 0
    except SlurmUnavailable:
        return False


def _told(*command: str, may_be_forgotten: bool = False) -> str:
    """What the command prints; nothing where that job may be forgotten, and is."""
    done = _asked(*command)
    if done.returncode == 0:
        return done.stdout
    if may_be_forgotten and _FORGOTTEN.search(done.stderr):
        return ""
    said = last_complaint(done.stderr)
    if _NOBODY_ANSWERS.search(done.stderr):
        raise SlurmUnavailable(f"Slurm does not answer: {command[0]} says {said!r}")
    raise SlurmRefused(f"{' '.join(command[:2])}: {said}")


def _asked(*command: str) -> "subprocess.CompletedProcess[str]":
    environment = clean_environment(os.environ) | {"LC_ALL": "C", "SLURM_TIME_FORMAT": "%s"}
    try:
        return subprocess.run(  # noqa: S603  Slurm's own commands, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
        )
    except FileNotFoundError:
        raise SlurmUnavailable(
            f"{command[0]} is not on PATH: this needs a machine that submits to Slurm"
        ) from None
    except subprocess.TimeoutExpired as late:
        # Bytes, whatever `text` is.
        said = last_complaint(late.stderr.decode(errors="replace")) if late.stderr else ""
        besides = f" but {said!r}" if said else ""
        raise SlurmUnavailable(
            f"Slurm does not answer: {command[0]} said nothing{besides} for {TIMEOUT_S:g} s"
        ) from None
