"""`clusterplan submit`."""

import json
from pathlib import Path
from typing import Any

import click

from ..api.measurements import find_measurements
from ..api.scripts.find_script import find_script
from ..api.submission import prepare_submission, submit_prepared
from ..api.submit import JobToSubmit, read_job_to_submit, run_tables
from ..errors import InputError
from ..estimator.measurements.measurement import Measurement
from ..launcher.submission.decide import SubmitOptions
from ..launcher.submission.submission import PreparedSubmission
from ..launcher.submission.sweep import parse_sweep
from ..render import submit_text
from .completion import complete_file
from .options import duration_s, echo_page, echo_text, json_option, say, say_notes, show_collecting
from .passthrough import WithCommand
from .run_options import executor_option, run_options, slurm_options
from .stages import refuse_beside_stages, shares_of, stage_options, submit_in_stages
from .workload_options import WorkloadCommand, one_shape


class _Submit(WithCommand, WorkloadCommand):
    """Takes a workload's flags, one value of each, and a command of its own."""

    tables = False
    common = ("gpus", "time", "partition", "name", "sweeps", "follow", "dry_run")
    title = "Submission"

    def stands_before(self, word: str) -> bool:
        """Return whether a first word is a job file, or a script, which is one too."""
        return super().stands_before(word) or find_script((word,)) is not None


@click.command(cls=_Submit)
@click.argument("job", required=False, shell_complete=complete_file)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@executor_option
@click.option(
    "--time",
    metavar="TIME",
    callback=duration_s,
    help="Walltime of one job. Default: the estimate's, otherwise the partition's.",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME=A,B",
    help="Make a run for each value; {NAME} in the command.",
)
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most runs of a sweep that Slurm runs at once.",
)
@click.option(
    "--requeue/--no-requeue", default=True, help="Whether Slurm may put the job back into the queue."
)
@run_options
@click.option(
    "--calibrate-first",
    is_flag=True,
    help="Measure the job by probes, as `calibrate` does, and submit it with the estimate that results.",
)
@stage_options
@click.option("--force", is_flag=True, help="Submit even if the checks refuse.")
@click.option(
    "--follow", is_flag=True, help="Show what the run prints until it ends; Ctrl-C leaves it running."
)
@click.option("--dry-run", is_flag=True, help="Print the script, commands and environment; submit nothing.")
@json_option
def submit(
    job: str | None,
    command: tuple[str, ...],
    executor: str | None,
    time: float | None,
    sweeps: tuple[str, ...],
    parallel: int | None,
    requeue: bool,  # noqa: FBT001
    slurm: tuple[str, ...],
    bootstrap: str | None,
    resume_args: str,
    container: str | None,
    calibrate_first: bool,  # noqa: FBT001
    progressive: bool,  # noqa: FBT001
    stages: str | None,
    force: bool,  # noqa: FBT001
    follow: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **flags: Any,
) -> None:
    """Run a training job on Slurm, or on this machine, so that it survives limits and failures.

    JOB is a job file with a command in [run], or a shell script, whose #SBATCH lines are taken; or give the command
    after two dashes:

        clusterplan submit job.toml

        clusterplan submit run.sh

        clusterplan submit --gpus 4 -- python train.py
    """
    _check_output_options(sweep=bool(sweeps), as_json=as_json, follow=follow, dry_run=dry_run)
    path, command = _job_and_command(job, command)
    tables = run_tables(slurm_options(slurm), bootstrap, resume_args, container)
    values = one_shape(flags)
    to_submit = read_job_to_submit(path, command, values, tables)
    for remark in to_submit.remarks:
        say(remark)
    if calibrate_first:
        _calibrate_first(to_submit, executor, force=force, sweep=bool(sweeps), dry_run=dry_run)
    submit_options = SubmitOptions(
        time or to_submit.walltime_s,
        parse_sweep(sweeps),
        parallel,
        requeue,
        other_braces=to_submit.has_command,
    )
    measurements = _find_measurements(to_submit.workload.model)
    if shares := shares_of(stages, progressive=progressive):
        refuse_beside_stages({"--sweep": sweeps, "--follow": follow})
        submit_in_stages(
            to_submit,
            shares,
            submit_options,
            executor=executor,
            measurements=measurements,
            force=force,
            dry_run=dry_run,
            as_json=as_json,
        )
        return
    prepared = prepare_submission(
        to_submit.workload,
        submit_options,
        executor=executor,
        measurements=measurements,
        is_sized=to_submit.is_sized,
        needs_gpus=to_submit.needs_gpus,
        dry_run=dry_run,
    )
    _say_problems(prepared, refused_too=force or dry_run)
    if dry_run:
        echo_page(lambda page: submit_text.dry_run(page, prepared))
        return
    with say_notes():
        submission = submit_prepared(prepared, force=force)
    for note in submission.notes:
        say(f"sbatch: {note}")
    for problem in submission.problems[len(prepared.problems) :]:
        say(problem.text)
    if as_json:
        echo_text(json.dumps(submission.as_dict(), indent=2) + "\n")
    else:
        echo_page(lambda page: submit_text.submitted(page, submission))
    if follow:
        from .following import follow_to_end  # noqa: PLC0415  the state of runs, for --follow only

        follow_to_end(submission.runs[0].folder)


def _check_output_options(*, sweep: bool, as_json: bool, follow: bool, dry_run: bool) -> None:
    if follow and (sweep or as_json):
        raise InputError(f"--follow shows one run as text: leave out {'--sweep' if sweep else '--json'}")
    if dry_run and as_json:
        raise InputError("--dry-run prints text: leave out --json")


def _calibrate_first(
    job: JobToSubmit, executor: str | None, *, force: bool, sweep: bool, dry_run: bool
) -> None:
    """Calibrate a job that is to be submitted then, and say what that showed."""
    if dry_run:
        raise InputError("--calibrate-first runs probes: `clusterplan calibrate --dry-run` shows the first")
    from ..api.trials.calibrate import calibrate_before  # noqa: PLC0415  probes, for --calibrate-first only

    with say_notes():
        calibration = calibrate_before(job, executor, force=force, sweep=sweep, tell=say)
    for line in (*str(calibration).splitlines(), ""):
        say(line)


def _job_and_command(job: str | None, command: tuple[str, ...]) -> tuple[Path | None, tuple[str, ...]]:
    """A first word that is a job file is one; else it belongs to the command."""
    if job is None or job.endswith(".toml"):
        return (Path(job) if job else None), command
    return None, (job, *command)


def _find_measurements(model: str | None) -> list[Measurement]:
    """The measurements of the model; remarks on them are printed before the checks speak."""
    with show_collecting() as progress:
        measurements, remarks = find_measurements(model, progress)
    for remark in remarks:
        say(remark)
    return measurements


def _say_problems(prepared: PreparedSubmission, *, refused_too: bool) -> None:
    for problem in prepared.problems:
        if refused_too or not problem.refuses:
            say(problem.text)
