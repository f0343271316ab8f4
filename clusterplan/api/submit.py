"""Submit a job from Python, as `clusterplan submit` does."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cluster_profiles.units import parse_duration_s
from ..errors import InputError
from ..estimator.job.job_file import BATCHES, SIZES, states
from ..estimator.job.run import RunOptions
from ..estimator.job.workload import Workload
from ..estimator.measurements.measurement import Measurement
from ..launcher.command.job_values import check_batch_size_is_unused, check_flags_reach
from ..launcher.submission.decide import SubmitOptions, run_of
from ..launcher.submission.submission import Submission
from ..launcher.submission.sweep import NO_SWEEP, combine_values
from ..render import submit_text
from ..render.layout import Page
from .job import Job, check_job_type, read_workload
from .measurements import ProgressCallback, find_measurements
from .result import Result
from .scripts.find_script import find_script, with_shell
from .submission import prepare_submission, submit_prepared

_UNSIZED = {"samples": 1, "batch_size": 1, "gpus": 1}


@dataclass(frozen=True, repr=False)
class SubmittedJob(Result, Submission):
    """A submitted job: `runs`, each with its id `run`, its `executor`, its `job_id` and its `folder`.

    `estimate` is the estimate that the request was made from; None if the size of the job is not known.
    """

    reading_remarks: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what was taken from a script, the errors of reading the history, the warnings of the checks, and the notes
        of the site's sbatch.
        """
        return (*self.reading_remarks, *(problem.text for problem in self.problems), *self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan submit --json`; docs/reference/json.md describes the keys."""
        return Submission.as_dict(self)

    def write(self, page: Page) -> None:
        """Write the ids, the request, the time to expect and every choice that was made."""
        submit_text.submitted(page, self)


def submit(
    job: Job | None = None,
    command: Sequence[object] = (),
    *,
    executor: str | None = None,
    time: str | float | None = None,
    sweep: Mapping[str, Iterable[object]] | None = None,
    parallel: int | None = None,
    requeue: bool = True,
    slurm: Mapping[str, str | int | bool] | None = None,
    bootstrap: str | None = None,
    resume_args: str | Sequence[object] = (),
    container: str | None = None,
    calibrate_first: bool = False,
    force: bool = False,
    measurements: Sequence[Measurement] | None = None,
    progress: ProgressCallback | None = None,
    **flags: Any,
) -> SubmittedJob:
    """Run a training job on Slurm or on this machine, from the working folder, and return at once.

    `job` is the path of a job file or of a shell script, a `Workload`, or left out if flags by their names are enough
    (`gpus=4` for `--gpus 4`); `command` is a list of words and stands in place of the job file's, or has the arguments
    of the script.  `executor` is "slurm" or "local",
    by default Slurm if `sbatch` is found, otherwise this machine.  `time` is the walltime of one job, in seconds or
    such as "12h", by default the estimate's.  `sweep` has the values of each placeholder of the command: every
    combination is a run, at most `parallel` at once on Slurm.  `requeue` lets Slurm put the job back into the queue.
    `slurm`, `bootstrap`, `resume_args` and `container` stand in place of those keys in the job file's [slurm] and [run].
    `calibrate_first` measures the job by probes, as `calibrate` does, and takes minutes.
    `force` submits the job even if the checks refuse.  `measurements` and `progress` are those of `estimate`.

    Raises InputError if the checks refuse, WorkloadError for a wrong value, SlurmUnavailable if Slurm does not answer,
    SubmissionError if it refuses the job, EstimateError if a probe fails, and RunFolderError.  No run is left
    half-registered then.

    Examples:
        >>> submit(command=["no-such-program"], executor="local")
        Traceback (most recent call last):
        clusterplan.errors.InputError: command 'no-such-program' is not found: give a program on PATH, or its path; --force submits all the same
    """
    tables = run_tables(slurm or {}, bootstrap, resume_args, container)
    to_submit = read_job_to_submit(job, command, flags, tables)
    workload, remarks = to_submit.workload, to_submit.remarks
    if calibrate_first:
        from .trials.calibrate import calibrate_before  # noqa: PLC0415  probes, for a job that is calibrated first

        calibrate_before(to_submit, executor, force=force, sweep=bool(sweep))
    if measurements is None:
        measurements, history_remarks = find_measurements(workload.model, progress)
        remarks = (*remarks, *history_remarks)
    options = SubmitOptions(
        parse_walltime_s(time) or to_submit.walltime_s,
        combine_values(sweep) if sweep else NO_SWEEP,
        parallel,
        requeue,
        other_braces=to_submit.has_command,
    )
    prepared = prepare_submission(
        workload,
        options,
        executor=executor,
        measurements=measurements,
        is_sized=to_submit.is_sized,
        needs_gpus=to_submit.needs_gpus,
    )
    submission = submit_prepared(prepared, force=force)
    return SubmittedJob(**vars(submission), reading_remarks=remarks)


def parse_walltime_s(time: str | float | None) -> float | None:
    """Return the seconds of a walltime, None if there is none.  Raises InputError."""
    if time is None:
        return None
    try:
        seconds = parse_duration_s(time)
    except ValueError as error:
        raise InputError(f"--time: {time!r} {error}") from None
    if seconds <= 0:
        raise InputError(f"--time: {time!r} must be greater than 0")
    return seconds


def run_tables(
    slurm: Mapping[str, str | int | bool],
    bootstrap: str | None = None,
    resume_args: str | Sequence[object] = (),
    container: str | None = None,
) -> dict[str, Any]:
    """Return the tables of a job file that say the same as these options of `submit`.  Raises InputError.

    >>> run_tables({"account": "lab"}, resume_args="--resume {latest}")
    {'slurm': {'account': 'lab'}, 'run': {'resume': ['--resume', '{latest}']}}
    """
    try:
        words = shlex.split(resume_args) if isinstance(resume_args, str) else list(map(str, resume_args))
    except ValueError as error:
        raise InputError(f"--resume-args: {resume_args!r}: {error}") from None
    run = {"bootstrap": bootstrap, "resume": words, "container": container}
    tables = {"slurm": dict(slurm), "run": {key: value for key, value in run.items() if value}}
    return {name: table for name, table in tables.items() if table}


@dataclass(frozen=True)
class JobToSubmit:
    """A job with what decides how it is submitted: whether its size is known, whether it needs GPUs, its own time limit."""

    workload: Workload
    is_sized: bool
    needs_gpus: bool
    has_command: bool = False
    walltime_s: float | None = None
    remarks: tuple[str, ...] = ()


def read_job_to_submit(
    job: Job | None, command: Sequence[object], flags: Mapping[str, Any], tables: Mapping[str, Any]
) -> JobToSubmit:
    """Return the job of a job file, of a script, or of a command; `tables` has options of its [run] and [slurm].

    Raises InputError and WorkloadError.
    """
    if isinstance(command, str):
        raise InputError(f"the command {command!r} is one text: give a list of words")
    check_job_type(job)
    words = tuple(str(word) for word in command)
    if job is not None and not isinstance(job, Workload) and find_script((str(job),)):
        job, words = None, (str(job), *words)
    remarks: tuple[str, ...] = ()
    if job is None and find_script(words):
        from .scripts.script_job import ScriptJob, read_script_job  # noqa: PLC0415  readers of scripts, for a script only

        script = read_script_job(words, flags, tables)
        if isinstance(script, ScriptJob):
            return JobToSubmit(
                script.workload,
                script.is_sized,
                script.states_gpus,
                walltime_s=script.walltime_s,
                remarks=script.remarks,
            )
        remarks = (script,) if script else ()
    words = with_shell(words)
    workload, is_sized = read_job_with_command(job, words, flags, tables)
    return JobToSubmit(workload, is_sized, needs_gpus(job, flags), bool(words), remarks=remarks)


def read_job_with_command(
    job: Job | None,
    command: Sequence[object],
    flags: Mapping[str, Any],
    tables: Mapping[str, Any] | None = None,
) -> tuple[Workload, bool]:
    """Return the job, and whether its size is known: one whose size is not stated is run, but nothing is estimated of it.

    A `command` stands in place of the job file's, and so do the values of `tables`, its [run] and [slurm].  Raises
    WorkloadError, also for a flag that would not reach the command.
    """
    tables = dict(tables or {})
    if isinstance(job, Workload):
        if tables:
            raise InputError(f"{next(iter(tables))}: a Workload takes no options beside it: put them into it")
        return with_command(read_workload(job, flags), command), True
    words = [str(word) for word in command]
    if words:
        tables["run"] = {**tables.get("run", {}), "command": words}
    path = Path(job) if job else None
    is_sized = states(path, flags, *SIZES)
    workload = read_workload(job, flags, None if is_sized else _UNSIZED, tables)
    if not words:
        check_flags_reach(run_of(workload), flags)
    if not is_sized and not states(path, flags, *BATCHES):
        check_batch_size_is_unused(run_of(workload))
    return workload, is_sized


def needs_gpus(job: Job | None, flags: Mapping[str, Any]) -> bool:
    """Return whether the job asks for GPUs by itself; one of unknown size gets one if there is one."""
    return isinstance(job, Workload) or states(Path(job) if job else None, flags, ("training", "gpus"))


def with_command(workload: Workload, command: Sequence[object]) -> Workload:
    """Return the job with this command in place of its own, if one is given; how it is run stays as it was."""
    if not command:
        return workload
    words = tuple(str(word) for word in command)
    run = workload.run.model_copy(update={"command": words}) if workload.run else None
    return workload.model_copy(update={"run": run or RunOptions(command=words)})
