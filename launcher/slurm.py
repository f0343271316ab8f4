"""Slurm's own commands.  The only module that runs them; nothing here needs accounting."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..errors import SlurmUnavailable
from .slurm_text import JobFacts, QueuedJob, parse_job, parse_queue

TIMEOUT_S = 20.0
_QUEUE_FORMAT = "%i|%T|%r|%N|%S|%e|%V|%l"
_OF_A_JOB = re.compile(r"SLURM_|SLURMD_|SRUN_|SUBMITIT_|PMI_|PMIX_")
_GONE = re.compile(r"Invalid job id", re.IGNORECASE)


def available() -> bool:
    """Whether jobs can be submitted from here."""
    return shutil.which("sbatch") is not None


@contextmanager
def outside_job() -> Iterator[None]:
    """This process's environment without what a job of Slurm's or submitit's left in it, which srun would obey."""
    left = {
        name: value for name, value in os.environ.items() if _OF_A_JOB.match(name) and name != "SLURM_CONF"
    }
    for name in left:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(left)


def queue() -> dict[str, QueuedJob]:
    """Every job of this user that Slurm still knows, ended ones too, by id; one call, however many there are.

    Raises SlurmUnavailable.
    """
    user = str(os.getuid())
    text = _said(
        "squeue", "--noheader", "--array", "--states=all", f"--user={user}", f"--format={_QUEUE_FORMAT}"
    )
    return {job.job: job for job in parse_queue(text)}


def job(job_id: str) -> JobFacts | None:
    """What Slurm knows of one job; None if it has forgotten it.  Raises SlurmUnavailable."""
    done = _run("scontrol", "--oneliner", "show", "job", job_id)
    if done.returncode and _GONE.search(done.stderr):
        return None
    return parse_job(_checked(done))


def requeue(job_id: str) -> None:
    """Put a running job back into the queue.  Raises SlurmUnavailable."""
    _said("scontrol", "requeue", job_id)


def cancel(job_ids: Iterable[str]) -> None:
    """Cancel jobs; those that have ended are left alone.  Raises SlurmUnavailable."""
    done = _run("scancel", *job_ids)
    if done.returncode and not _GONE.search(done.stderr):
        _checked(done)


def account(job_ids: Sequence[str]) -> dict[str, str]:
    """The states of jobs by Slurm's accounting; nothing where there is none."""
    if not job_ids or not shutil.which("sacct"):
        return {}
    try:
        done = _run("sacct", "-X", "-n", "-P", "--format=JobID,State", f"--jobs={','.join(job_ids)}")
    except SlurmUnavailable:
        return {}
    rows = [line.split("|") for line in done.stdout.splitlines() if done.returncode == 0]
    return {row[0]: row[1].split()[0] for row in rows if len(row) > 1 and row[1]}


def _said(*command: str) -> str:
    return _checked(_run(*command))


def _checked(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode:
        said = done.stderr.strip().splitlines()
        why = said[-1].split(":", 1)[-1].strip() if said else f"exit code {done.returncode}"
        raise SlurmUnavailable(f"{done.args[0]} failed: {why}")
    return done.stdout


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    # Times in seconds and English words, whatever the user's own are.
    environment = {**os.environ, "LC_ALL": "C", "SLURM_TIME_FORMAT": "%s"}
    try:
        return subprocess.run(  # noqa: S603  no shell
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        raise SlurmUnavailable(f"{command[0]} is not found here: is this a machine of the cluster?") from None
    except subprocess.TimeoutExpired:
        raise SlurmUnavailable(f"{command[0]}: Slurm does not answer within {TIMEOUT_S:.0f} s") from None
