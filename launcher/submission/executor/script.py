"""The batch script of a Slurm job, by submitit's executor, and a pickle for each of its runs."""

import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....cluster_profiles.modes import make_inner_folder, open_file
from ...run_folder.folder import BEGAN, SUBMITIT
from ...slurm.text import parse_limit_s
from ..request import SlurmRequest, whole_minutes
from .late_asyncio import late_asyncio

if TYPE_CHECKING:
    import submitit

_START = f"{__package__}.start"
NO_LIMIT = 10**6  # submitit counts requeues, and not whether they made progress; ours does
_SUBMITITS_S = 300.0  # what submitit takes for a walltime that is not said
_UNREACHABLE = 233  # srun's SLURM_COMMUNICATIONS_CONNECTION_ERROR, 1001, as an exit code
_LAUNCH_FAILED = "srun: error: Application launch failed"
_MOST_FAILED_LAUNCHES = 5
_AFTER_REQUEUE_S = 300

JobClass = Callable[[str], Callable[[], Any]]  # made from a run's folder; submitit pickles what it makes


def write_script(folders: Sequence[Path], request: SlurmRequest, job_class: JobClass) -> Path:
    """Write the batch script of the runs in `folders`, and a pickle for each beside it; return the script.  Raises OSError.

    submitit's executor would do that too, and then read the id of the job from sbatch's sentence, which not every site
    prints (submitit 1.5.4, slurm.py), to name the pickles by it.  Here the script names them, once it has an id.
    """
    with late_asyncio():
        from submitit.core.utils import DelayedSubmission  # noqa: PLC0415  submitit, slow to load

    where = folders[0] / SUBMITIT
    make_inner_folder(where)
    path = where / f"submission-{os.urandom(4).hex()}.sh"
    for index, folder in enumerate(folders):
        job = DelayedSubmission(job_class(str(folder)))
        job.set_timeout(whole_minutes(request.walltime_s or _SUBMITITS_S), NO_LIMIT)
        pickle = path.with_suffix(f".{index}.pkl")
        os.close(open_file(pickle, os.O_EXCL))  # submitit would give it the mode of the umask
        job.dump(pickle)
    with os.fdopen(open_file(path, os.O_EXCL), "w", encoding="utf-8") as file:
        file.write(_script_text(path, request, len(folders)))
    return path


def script(folder: Path, request: SlurmRequest, runs: int = 1) -> str:
    """Return the batch script that sbatch would be handed."""
    return _script_text(folder / SUBMITIT / "submission.sh", request, runs)


def _script_text(path: Path, request: SlurmRequest, runs: int) -> str:
    executor = _executor(path, request)
    if runs > 1:
        executor.parameters["map_count"] = runs
    text: str = executor._make_submission_file_text(executor._submitit_command_str, "")  # noqa: SLF001  no public way
    return text


def _executor(path: Path, request: SlurmRequest) -> "submitit.SlurmExecutor":
    """Return the executor that writes the script `path`."""
    with late_asyncio():
        from submitit import SlurmExecutor  # noqa: PLC0415  submitit, slow to load

    class Executor(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:
            return 1  # it asks for srun, which only the nodes need

        @property
        def _submitit_command_str(self) -> str:
            return start_command(python, path.parent)

    logging.getLogger("submitit").setLevel(logging.ERROR)
    # USR2 may arrive before Python is up, and the folder a job is submitted from must not be imported from.
    # What a shell ignores, the program that takes its place does too; `env --ignore-signal` is not on every node.
    # Bash, which reads the script already, and no other shell: /bin/sh may drop what it has no name for, such as the
    # exported functions `module` and `conda` (bash keeps them as BASH_FUNC_module%%; TACC/Lmod#663).
    python = f'/bin/bash -c \'trap "" USR2; exec "$@"\' bash {shlex.quote(sys.executable)} -P'
    executor = Executor(path.parent, max_num_timeout=NO_LIMIT)
    executor.update_parameters(**_parameters(path, request))
    return executor


def start_command(python: str, where: Path) -> str:
    """Return the shell command that starts a job of which submitit wrote the pickle into the folder `where`."""
    return f"{python} -u -m {_START} {shlex.quote(str(where))}"


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
        "array_parallelism": request.parallel or NO_LIMIT,  # submitit's own is 256
        "setup": _setup(path, has_cpus="cpus-per-task" in header),
        "teardown": _teardown(path.parent),
        "srun_args": ["--kill-on-bad-exit=1", "--wait=60", *request.srun],
        "additional_parameters": header,
    }


def _setup(path: Path, *, has_cpus: bool) -> list[str]:
    """Return shell lines that give the pickle of the run the name under which submitit looks for it.

    Where others may rename the run's folder, they may have put links of theirs in its place, through which a shell
    would write into this user's own files.  So it enters the folder and looks whose it is.
    A start of the same number may have left marks there: a controller that was killed counts its last restarts anew.
    """
    pickle, where = shlex.quote(path.stem), shlex.quote(str(path.parent))
    return [
        "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}",
        "job=${job:-$SLURM_JOB_ID}",
        "restart=${SLURM_RESTART_COUNT:-0}",
        f'if ! ({_enter(path.parent)} && command -p ln -sf {pickle}."${{SLURM_ARRAY_TASK_ID:-0}}".pkl "${{job}}_submitted.pkl" &&',
        f'    command -p rm -f "$job.$restart."{{{BEGAN},exit}}); then',
        f"    echo Error: {where} cannot be used, or belongs to somebody else: nothing of it is run >&2",
        "    exit 1",
        "fi",
        *(["export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}"] if has_cpus else []),
    ]


def _enter(folder: Path) -> str:
    """Return a shell command that enters a folder, and fails unless it is this user's own."""
    return f"cd {shlex.quote(str(folder))} && [ -O . ]"


def _teardown(where: Path) -> list[str]:
    """Return shell lines that record how the tasks ended, and ask for a restart where no task can.

    The job's shell outlives tasks that are killed.  Three things are no fault of the run.  srun could not start the
    tasks of a node that has just died, and it killed those of the others: that is repeated a few times, until Slurm
    knows the node as down.  Or not even the first task has begun:  srun could not create the step, or a preemption came
    before the guard listened; one of the last 3 starts has begun.  Or the step was killed minutes after Slurm had
    requeued the job: a slurmd that comes back reports the step that it had before, and Slurm has it killed by the id of
    the job, whatever runs under that by now.  This is repeated once.
    """
    return [
        "code=$?",
        f"{_enter(where)} || exit $code",
        'echo $code > "$job.$restart.exit"',
        "again=",
        "if [ $code -ne 0 ]; then",
        f'    if [ $code -eq {_UNREACHABLE} ] && tail -n 20 "${{job}}_0_log.err" 2> /dev/null | grep -q {shlex.quote(_LAUNCH_FAILED)}; then',
        f'        [ "$(cat "$job".*.exit | grep -cx $code)" -le {_MOST_FAILED_LAUNCHES} ] && again=1',
        f'    elif [ ! -e "$job.$restart.{BEGAN}" ]; then',
        f'        for back in 1 2 3; do [ -e "$job.$((restart - back)).{BEGAN}" ] && again=1; done',
        "        case $(scontrol show job \"$job\" 2> /dev/null) in *' PreemptTime=2'*) again=1 ;; esac",
        f"    elif [ $code -gt 128 ] && [ $restart -gt 0 ] && [ $SECONDS -lt {_AFTER_REQUEUE_S} ]; then",
        '        [ -e "$job.$((restart - 1)).exit" ] || again=1',
        "    fi",
        "fi",
        'if [ "$again" ]; then',
        '    case $(scontrol show job "$job" 2> /dev/null) in *JobState=RUNNING*)',
        '        scontrol requeue "$job" && sleep 120',
        "    esac",
        "fi",
        "exit $code",
    ]
