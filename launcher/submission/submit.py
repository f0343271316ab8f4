"""Hand runs to an executor.  The only importer of submitit, with the job that it runs and is handed here."""

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ...cluster_profiles.modes import make_inner_folder
from ...errors import ClusterplanError, RunFolderError, SubmissionError
from ..run_folder.folder import BEGAN, LOGS, SUBMITIT, TASKS
from ..run_folder.job_log import append_job, read_jobs
from ..slurm import client as slurm
from ..slurm.sbatch import submit_script
from ..slurm.text import parse_limit_s
from .request import SlurmRequest, whole_minutes

if TYPE_CHECKING:
    import submitit

_LONGEST_LOCAL_MINUTES = 60 * 24 * 3650  # the guard knows the limit: it counts from when the run has its GPUs
# submitit counts requeues, and not whether they made progress; ours does.
_NO_LIMIT = 10**6
_STARTER = f"{__name__.rpartition('.submission')[0]}.node"  # calls `start_local_run` in a process of its own
_OF_A_RUN = {"CLUSTERPLAN_ATTEMPT", "CLUSTERPLAN_RUN_FOLDER"}
_SUBMITITS_S = 300.0  # what submitit takes for a walltime that is not said


JobClass = Callable[[str], Callable[[], Any]]  # made from a run's folder; submitit pickles what it makes


def submit_runs(
    folders: Sequence[Path], request: SlurmRequest, cluster: str | None, job_class: JobClass
) -> tuple[list[str], tuple[str, ...]]:
    """Submit one Slurm job for the run in each of `folders`, an array if there are several.

    Return their job ids, and the notes that the site's sbatch printed.  `cluster` is the name of the Slurm.  Ctrl-C waits
    for its answer: a job that nobody noted could not be cancelled.  Raises SubmissionError with Slurm's words, JobUnknown
    if a job may be queued all the same, and RunFolderError.
    """
    for folder in folders:
        for name in (TASKS, LOGS):
            make_inner_folder(folder / name)
    for folder in folders[1:]:  # an array has one script, and so one place for what its shell and Slurm write
        (folder / SUBMITIT).symlink_to(folders[0] / SUBMITIT)
    where = folders[0] / SUBMITIT
    earlier = {entry.job.partition("_")[0] for entry in read_jobs(folders[0])}
    with _uninterrupted():
        try:
            written = _write_script(folders, request, job_class)
        except OSError as error:
            raise SubmissionError(f"{where}: the job cannot be written: {error.strerror}") from None
        queued = submit_script(written, where, earlier, _outside_run(os.environ))
        job = queued.job_id
        ids = [f"{job}_{index}" for index in range(len(folders))] if len(folders) > 1 else [job]
        try:
            for folder, element in zip(folders, ids, strict=True):
                append_job(folder, "slurm", element, queued.cluster or cluster)
        except RunFolderError:
            with suppress(ClusterplanError):
                slurm.cancel_jobs(job)
            raise
    return ids, queued.notes


def _write_script(folders: Sequence[Path], request: SlurmRequest, job_class: JobClass) -> Path:
    """Write the batch script and a pickle for each run beside it; return the script.

    submitit's executor would do that too, and then read the id of the job from sbatch's sentence, which not every site
    prints (submitit 1.5.4, slurm.py), to name the pickles by it.  Here the script names them, once it has an id.
    """
    from submitit.core.utils import DelayedSubmission  # noqa: PLC0415  submitit, slow to load

    where = folders[0] / SUBMITIT
    make_inner_folder(where)
    path = where / f"submission-{os.urandom(4).hex()}.sh"
    for index, folder in enumerate(folders):
        job = DelayedSubmission(_run, job_class(str(folder)))
        job.set_timeout(whole_minutes(request.walltime_s or _SUBMITITS_S), _NO_LIMIT)
        job.dump(path.with_suffix(f".{index}.pkl"))
    path.write_text(_script_text(path, request, len(folders)), encoding="utf-8")
    return path


def script(folder: Path, request: SlurmRequest, runs: int = 1) -> str:
    """Return the batch script that `submit_runs` would hand to sbatch."""
    return _script_text(folder / SUBMITIT / "submission.sh", request, runs)


def _script_text(path: Path, request: SlurmRequest, runs: int) -> str:
    executor = _executor(path, request)
    if runs > 1:
        executor.parameters["map_count"] = runs
    text: str = executor._make_submission_file_text(executor._submitit_command_str, "")  # noqa: SLF001  no public way
    return text


def submit_local(folder: Path) -> str:
    """Start the run in `folder` on this machine, in a session of its own; return the id of its process.

    Raises SubmissionError.
    """
    for name in (TASKS, LOGS, SUBMITIT):
        make_inner_folder(folder / name)
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


def _outside_run(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the variables of a run around us."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("SUBMITIT_") and name not in _OF_A_RUN
    }


def _run(job: Callable[[], Any]) -> None:
    job()


def _executor(path: Path, request: SlurmRequest) -> "submitit.SlurmExecutor":
    """Return the executor that writes the script `path`."""

    from submitit import SlurmExecutor  # noqa: PLC0415  submitit, slow to load

    class Executor(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:
            return 1  # it asks for srun, which only the nodes need

    logging.getLogger("submitit").setLevel(logging.ERROR)
    # USR2 may arrive before Python is up, and the folder a job is submitted from must not be imported from.
    # What a shell ignores, the program that takes its place does too; `env --ignore-signal` is not on every node.
    # Bash, which reads the script already, and no other shell: /bin/sh may drop what it has no name for, such as the
    # exported functions `module` and `conda` (bash keeps them as BASH_FUNC_module%%; TACC/Lmod#663).
    python = f'/bin/bash -c \'trap "" USR2; exec "$@"\' bash {shlex.quote(sys.executable)} -P'
    executor = Executor(path.parent, max_num_timeout=_NO_LIMIT, python=python)
    executor.update_parameters(**_parameters(path, request))
    return executor


def _parameters(path: Path, request: SlurmRequest) -> dict[str, Any]:
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
        "setup": _setup(path, has_cpus="cpus-per-task" in header),
        "teardown": _teardown(path.parent),
        "srun_args": ["--kill-on-bad-exit=1", "--wait=60", *request.srun],
        "additional_parameters": header,
    }


def _setup(path: Path, *, has_cpus: bool) -> list[str]:
    """Return shell lines that give the pickle of the run the name under which submitit looks for it."""
    pickle, where = shlex.quote(str(path.with_suffix(""))), shlex.quote(str(path.parent))
    return [
        "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}",
        "job=${job:-$SLURM_JOB_ID}",
        f'command -p ln -sf {pickle}."${{SLURM_ARRAY_TASK_ID:-0}}".pkl {where}/"${{job}}_submitted.pkl"',
        *(["export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}"] if has_cpus else []),
    ]


def _teardown(where: Path) -> list[str]:
    """Return shell lines that record how the tasks ended: the job's shell outlives tasks that are killed.

    Where not even the first task has begun, nobody else can ask for a restart: srun could not create the step, or a
    preemption came before the guard listened.  That is no fault of a run of which one of the last 3 starts has begun.
    """
    mine = f'{shlex.quote(str(where))}/"$job"'
    return [
        "code=$?",
        "restart=${SLURM_RESTART_COUNT:-0}",
        f"echo $code > {mine}.$restart.exit",
        f"if [ $code -ne 0 ] && [ ! -e {mine}.$restart.{BEGAN} ]; then",
        '    facts=$(scontrol show job "$job" 2> /dev/null)',
        f"    for back in 1 2 3; do [ -e {mine}.$((restart - back)).{BEGAN} ] && facts+=' PreemptTime=2'; done",
        "    case $facts in *JobState=RUNNING*' PreemptTime=2'*)",
        '        scontrol requeue "$job" && sleep 120',
        "    esac",
        "fi",
        "exit $code",
    ]


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
