"""Hand runs to an executor.  The only importer of submitit, with the job that it runs and is handed here."""

import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ...errors import ClusterplanError, RunFolderError, SubmissionError
from ..run_folder.folder import LOGS, SUBMITIT
from ..run_folder.job_log import append_job, read_jobs
from ..run_folder.task_records import TASKS
from ..slurm import client as slurm
from ..slurm.text import parse_limit_s
from .request import SlurmRequest, whole_minutes

if TYPE_CHECKING:
    import submitit

_LONGEST_LOCAL_MINUTES = 60 * 24 * 3650  # the guard knows the limit: it counts from when the run has its GPUs
# submitit counts requeues, and not whether they made progress; ours does.
_NO_LIMIT = 10**6
_STARTER = f"{__name__.rpartition('.submission')[0]}.node"  # calls `start_local_run` in a process of its own
_OF_A_RUN = {"CLUSTERPLAN_ATTEMPT", "CLUSTERPLAN_RUN_FOLDER"}
_AFTER_NAME = re.compile(r".*?(?:error:|sbatch:(?!.*error:))")


JobClass = Callable[[str], Callable[[], Any]]  # made from a run's folder; submitit pickles what it makes


def submit_runs(
    folders: Sequence[Path], request: SlurmRequest, cluster: str | None, job_class: JobClass
) -> list[str]:
    """Submit one Slurm job for the run in each of `folders`, an array if there are several; return their job ids.

    `cluster` is the name of the Slurm.  Ctrl-C waits for its answer: a job that nobody noted could not be cancelled.
    Raises SubmissionError with Slurm's words, and RunFolderError.
    """
    executor = _executor(folders[0], request)
    jobs = [job_class(str(folder)) for folder in folders]
    for folder in folders:
        for name in (TASKS, LOGS):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
    for folder in folders[1:]:  # an array has one script, and so one place for what its shell and Slurm write
        (folder / SUBMITIT).symlink_to(folders[0] / SUBMITIT)
    from submitit.core.utils import FailedJobError, FailedSubmissionError  # noqa: PLC0415  submitit, slow to load

    with _uninterrupted():
        try:
            with _outside_job(), redirect_stderr(StringIO()):  # submitit prints what it raises too
                queued = executor.map_array(_run, jobs) if len(jobs) > 1 else [executor.submit(jobs[0])]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise SubmissionError(f"sbatch refused: {_complaints(error)}") from None
        ids = [str(job.job_id) for job in queued]
        try:
            for folder, job in zip(folders, ids, strict=True):
                append_job(folder, "slurm", job, cluster)
        except RunFolderError:
            with suppress(ClusterplanError):
                slurm.cancel_jobs(ids[0].partition("_")[0])
            raise
    return ids


def script(folder: Path, request: SlurmRequest, runs: int = 1) -> str:
    """Return the batch script that `submit_runs` would hand to sbatch."""
    executor = _executor(folder, request)
    if runs > 1:
        executor.parameters["map_count"] = runs
    text: str = executor._make_submission_file_text(executor._submitit_command_str, "")  # noqa: SLF001  no public way
    return text


def submit_local(folder: Path) -> str:
    """Start the run in `folder` on this machine, in a session of its own; return the id of its process.

    Raises SubmissionError.
    """
    for name in (TASKS, LOGS, SUBMITIT):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-P", "-m", _STARTER, str(folder)]
    with (folder / SUBMITIT / "start.log").open("wb") as log, _uninterrupted():
        started = subprocess.run(  # noqa: S603  our own module
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=False
        )
    if started.returncode:
        text = (folder / SUBMITIT / "start.log").read_text(encoding="utf-8", errors="replace").strip()
        raise SubmissionError(
            f"the run cannot be started here: {text.splitlines()[-1] if text else 'no reason given'}"
        )
    return read_jobs(folder)[-1].job


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back from the block, and from processes that it starts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _outside_job() -> Iterator[None]:
    """Remove the variables of a job or run around us, which sbatch would obey, while the block runs."""
    before = dict(os.environ)
    ours = {name for name in before if name.startswith("SUBMITIT_")} | (_OF_A_RUN & before.keys())
    for name in ours | (before.keys() - slurm.clean_environment(before).keys()):
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def _run(job: Callable[[], Any]) -> None:
    job()


def _executor(folder: Path, request: SlurmRequest) -> "submitit.SlurmExecutor":

    from submitit import SlurmExecutor  # noqa: PLC0415  submitit, slow to load

    class Executor(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:
            return 1  # it asks for srun, which only the nodes need

    logging.getLogger("submitit").setLevel(logging.ERROR)
    where = folder / SUBMITIT
    # USR2 may arrive before Python is up, and the folder a job is submitted from must not be imported from.
    # What a shell ignores, the program that takes its place does too; `env --ignore-signal` is not on every node.
    python = f'/bin/sh -c \'trap "" USR2; exec "$@"\' sh {shlex.quote(sys.executable)} -P'
    executor = Executor(where, max_num_timeout=_NO_LIMIT, python=python)
    executor.update_parameters(**_parameters(where, request))
    return executor


def _parameters(where: Path, request: SlurmRequest) -> dict[str, Any]:
    """Return the parameters of submitit's executor: `request.header()`, and what submitit itself must know of it."""
    header = request.header()
    limit_s = parse_limit_s(request.time or "")
    return {
        "job_name": header.pop("job-name", None),
        # Where nothing is said of these two, submitit has values of its own: 5 minutes, and a label that some
        # clusters refuse.  It reckons with `time` when it is warned before the guard listens.
        "time": whole_minutes(limit_s) if limit_s else None,
        "wckey": header.pop("wckey", None),
        "nodes": request.nodes,
        "ntasks_per_node": header.pop("ntasks-per-node"),
        "array_parallelism": request.parallel or _NO_LIMIT,  # submitit's own is 256
        "setup": ["export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}"]
        if "cpus-per-task" in header
        else None,
        "teardown": _teardown(where),
        "srun_args": ["--kill-on-bad-exit=1", "--wait=60", *request.srun],
        "additional_parameters": header,
    }


def _teardown(where: Path) -> list[str]:
    """Return shell lines that record how the tasks ended: the job's shell outlives tasks that are killed."""
    return [
        "code=$?",
        "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}",
        f'echo $code > {shlex.quote(str(where))}/"${{job:-$SLURM_JOB_ID}}.${{SLURM_RESTART_COUNT:-0}}.exit"',
        "exit $code",
    ]


def _complaints(error: Exception) -> str:
    """Return the lines of sbatch itself, without its name before them."""
    lines = str(error).splitlines()
    wrong = [line for line in lines if "error:" in line] or [line for line in lines if "sbatch:" in line]
    return "; ".join(_AFTER_NAME.sub("", line).strip() for line in wrong) or lines[-1]


def start_local_run(folder: Path, job_class: JobClass) -> NoReturn:
    """Start the run in `folder` by submitit's local executor, and end this process."""
    from submitit import LocalExecutor  # noqa: PLC0415  likewise

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    restored = (
        "-u CUDA_VISIBLE_DEVICES" if visible is None else shlex.quote(f"CUDA_VISIBLE_DEVICES={visible}")
    )
    python = f"env {restored} {shlex.quote(sys.executable)} -P"
    executor = LocalExecutor(folder / SUBMITIT, max_num_timeout=_NO_LIMIT, python=python)
    executor.update_parameters(timeout_min=_LONGEST_LOCAL_MINUTES, tasks_per_node=1, signal_delay_s=30)
    job: Any = executor.submit(job_class(str(folder)))
    append_job(folder, "local", str(job.job_id))
    job._process.returncode = 0  # noqa: SLF001  it outlives us, and that is no news
    os._exit(0)
