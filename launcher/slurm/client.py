"""Questions to Slurm: with `sbatch`, the only module that runs its commands.  Answers are the frozen values of `jobs`, `nodes` and `cluster`.

Every question has a time limit, is asked in plain English and Unix seconds, and does not see the options that a user
keeps in SQUEUE_*, SBATCH_* and the like, except `read_standing_options`.  Raises SlurmUnavailable if nobody answers,
and SlurmRefused if Slurm says no.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from ...errors import SlurmRefused
from .daemons import run_question
from .jobs import (
    ACCOUNT_FORMAT,
    OWNER_FORMAT,
    QUEUE_FORMAT,
    JobFacts,
    JobOwner,
    QueuedJob,
    StartForecast,
    parse_account,
    parse_forecast,
    parse_job,
    parse_job_owners,
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
from .silences import silence
from .text import last_complaint, without_colours

if TYPE_CHECKING:
    import subprocess

_JOBS_PER_QUESTION = 500  # an argument has at most 128 KiB, and Slurm answers within its time limit
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
    """Return whether jobs can be submitted from this machine: sbatch is on PATH."""
    return shutil.which("sbatch") is not None


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the variables of the job that we may be in, and of Slurm's commands.

    Otherwise a job submitted from inside a job would inherit its shape, and fail.

    >>> clean_environment({"SLURM_JOB_ID": "7", "SLURM_CONF": "/etc/slurm.conf", "HOME": "/root"})
    {'SLURM_CONF': '/etc/slurm.conf', 'HOME': '/root'}
    """
    return {name: value for name, value in environ.items() if name in _KEPT or not name.startswith(_OURS)}


def read_standing_options(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the options of sbatch that a user keeps for every job in variables: who pays, and by which rules.

    Other variables would change the shape of a job, and are ignored.

    >>> read_standing_options({"SBATCH_ACCOUNT": "lab", "SBATCH_QOS": "", "SBATCH_PARTITION": "cpu"})
    {'account': 'lab'}
    """
    kept = {name: environ.get(f"SBATCH_{name.upper()}") for name in _STANDING}
    return {name: value for name, value in kept.items() if value}


def read_queue(job_ids: Iterable[str] | None = None) -> list[QueuedJob]:
    """Return these jobs, or all of this user's; jobs that Slurm has forgotten are left out.

    Ended jobs are remembered for MinJobAge, 300 s unless the site changed it.  Each element of an array is a job `A_i`.
    """
    if job_ids is None:
        selections = [f"--user={os.getuid()}"]
    else:
        selections = _by_id(job_id for job_id in job_ids if _JOB_ID.fullmatch(job_id))
    question = ("squeue", "--states=all", "--array", "--noheader", f"--format={QUEUE_FORMAT}")
    return [
        job
        for selection in selections
        for job in parse_queue(ask(*question, selection, may_be_forgotten=True))
    ]


def read_job(job_id: str) -> JobFacts | None:
    """Return one job; None if Slurm has forgotten it."""
    question = ("scontrol", "--details", "show", "job", job_id)
    return parse_job(ask(*question, may_be_forgotten=True, patient=True))


def read_accounting(job_ids: Iterable[str]) -> dict[str, JobFacts] | None:
    """Return these jobs from the accounting database, by id; None if the cluster has none.

    Raises SlurmUnavailable if it does not answer.
    """
    if not _accounting_answers():
        return None
    question = ("sacct", "--allocations", "--noheader", "--parsable2", f"--format={ACCOUNT_FORMAT}")
    jobs: dict[str, JobFacts] = {}
    for selection in _by_id(job_ids):
        jobs |= parse_account(ask(*question, selection, may_be_forgotten=True))
    return jobs


def _by_id(job_ids: Iterable[str]) -> list[str]:
    """Return the options that select these jobs, one per question."""
    return [f"--jobs={','.join(batch)}" for batch in _batches(sorted(set(job_ids)))]


def _batches(job_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(job_ids), _JOBS_PER_QUESTION):
        yield job_ids[first : first + _JOBS_PER_QUESTION]


def read_job_owners(job_ids: Iterable[str]) -> dict[str, JobOwner]:
    """Return whose each of these jobs is; jobs that Slurm has forgotten are left out."""
    question = ("squeue", "--states=all", "--array", "--noheader", f"--Format={OWNER_FORMAT}")
    owners = dict[str, JobOwner]()
    for selection in _by_id(job_id for job_id in job_ids if _JOB_ID.fullmatch(job_id)):
        owners |= parse_job_owners(ask(*question, selection, may_be_forgotten=True))
    return owners


def cancel_jobs(*job_ids: str) -> None:
    """End jobs, or elements of an array; one that has ended already is no error."""
    for batch in _batches(job_ids):
        ask("scancel", *batch, may_be_forgotten=True)


def requeue(job_id: str) -> None:
    """End a running job and put it back into the queue under the same id."""
    ask("scontrol", "requeue", job_id, patient=True)


def release(job_id: str) -> None:
    """Let a job go that Slurm holds: it waits for nodes again."""
    ask("scontrol", "release", job_id)


def read_partitions() -> list[PartitionFacts]:
    """Return the partitions that this user may see."""
    return parse_partitions(ask("scontrol", "--oneliner", "show", "partition"))


def read_nodes() -> list[NodeFacts]:
    """Return the nodes that this user may see."""
    return parse_nodes(ask("sinfo", "--Node", "--noheader", f"--format={NODE_FORMAT}"))


def read_settings() -> SlurmSettings:
    """Return the settings of the cluster."""
    return parse_settings(ask("scontrol", "show", "config"))


def forecast_start(options: Sequence[str]) -> StartForecast:
    """Return when and where a job with these options of sbatch would start, or why it never can.

    It uses up a job id.  A walltime above the partition's limit is not refused here: that job waits for ever.
    """
    process = run_command("sbatch", "--test-only", *options, "--wrap=true", timeout_s=TIMEOUT_S)
    if process.returncode and _NOBODY_ANSWERS.search(process.stderr):
        raise silence("sbatch", f"Slurm does not answer: sbatch says {last_complaint(process.stderr)!r}")
    return parse_forecast(process.stderr)


@cache
def _accounting_answers() -> bool:
    """Return whether the cluster has accounting.  Raises SlurmUnavailable if it does not answer."""
    question = ("sacct", "--allocations", "--noheader", "--jobs=1")
    return run_command(*question, timeout_s=TIMEOUT_S).returncode == 0


def ask(
    *command: str, may_be_forgotten: bool = False, timeout_s: float | None = None, patient: bool = False
) -> str:
    """Return the output of one of Slurm's commands, without colours; empty if the job may be forgotten, and is.

    With `patient`, a controller that is down is waited for as long as Slurm's own commands do.
    """
    process = run_command(*command, timeout_s=timeout_s or TIMEOUT_S, patient=patient)
    if process.returncode == 0:
        return without_colours(process.stdout)
    if may_be_forgotten and _FORGOTTEN.search(process.stderr):
        return ""
    complaint = last_complaint(process.stderr)
    if _NOBODY_ANSWERS.search(process.stderr):
        raise silence(command[0], f"Slurm does not answer: {command[0]} says {complaint!r}")
    raise SlurmRefused(f"{' '.join(command[:2])}: {complaint}")


def run_command(*command: str, timeout_s: float, patient: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run one of Slurm's commands, in plain English and with the time limit.  Raises SlurmUnavailable."""
    environment = clean_environment(os.environ) | {"LC_ALL": "C", "SLURM_TIME_FORMAT": "%s"}
    return run_question(command, environment, timeout_s, patient=patient)
