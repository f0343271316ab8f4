"""`clusterplan calibrate`."""

from pathlib import Path
from typing import Any

import click

from ..api.submit import read_job_to_submit, run_tables
from ..api.trials.calibrate import (
    Calibration,
    calibrate_job,
    parse_budget_s,
    parse_within,
)
from ..api.trials.calibrator import CalibrationOptions, Calibrator
from ..cluster_profiles.units import format_duration
from ..errors import InputError
from ..launcher.calibration.probe import StopReason
from ..render.layout import Page, Style
from ..render.submit_text import dry_run as write_dry_run
from ..render.trials.calibration_text import describe_shape
from .completion import complete_file
from .options import echo_page, echo_result, json_option, say, say_notes
from .passthrough import WithCommand
from .run_options import executor_option, run_options, slurm_options
from .workload_options import WorkloadCommand, one_shape

_INTERRUPTED = 130


class _Calibrate(WithCommand, WorkloadCommand):
    """Takes a workload's flags, one value of each, and a command of its own."""

    tables = False
    common = ("gpus", "batch_size", "partition", "budget", "dry_run")
    title = "Probes"


@click.command(cls=_Calibrate)
@click.argument("job", required=False, shell_complete=complete_file)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@executor_option
@click.option(
    "--budget",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="GPU time of all probes: 30m is 30 minutes on one GPU, or 3.75 on eight.",
)
@click.option(
    "--within",
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="Stop a probe once its step time is known so well.",
)
@run_options
@click.option("--force", is_flag=True, help="Run probes even if the checks refuse.")
@click.option("--dry-run", is_flag=True, help="Print the first probe and what it would run; run nothing.")
@json_option
def calibrate(
    job: str | None,
    command: tuple[str, ...],
    executor: str | None,
    budget: str,
    within: str,
    slurm: tuple[str, ...],
    bootstrap: str | None,
    resume_args: str,
    container: str | None,
    force: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **flags: Any,
) -> None:
    """Measure a job that nobody has measured, by short probes of itself.

    JOB is a job file with a command in [run], which writes into {output}; or give the command after two dashes:

        clusterplan calibrate job.toml

        clusterplan calibrate --budget 30m job.toml

    A probe runs in the shape that tells most per GPU-second, on the partition with the shortest limit that holds it, or
    on --partition. It stops as soon as its speed is known. Ctrl-C stops it, and keeps what was measured.
    """
    if dry_run and as_json:
        raise InputError("--dry-run prints text: leave out --json")
    values = one_shape(flags)
    partition = values.pop("partition", None)
    path = Path(job) if job and job.endswith(".toml") else None
    if job and path is None:  # a first word that is no job file belongs to the command
        command = (job, *command)
    tables = run_tables(slurm_options(slurm), bootstrap, resume_args, container)
    to_submit = read_job_to_submit(path, command, values, tables)
    for remark in to_submit.remarks:
        say(remark)
    options = CalibrationOptions(
        executor, parse_budget_s(budget), parse_within(within), partition, force=force
    )
    if dry_run:
        calibrator = Calibrator(to_submit, options, dry_run=True)
        echo_page(lambda page: _dry_run(page, calibrator, options))
        return
    with say_notes():
        calibration = calibrate_job(to_submit, options, say)
    echo_result(calibration, as_json=as_json)
    _exit_as(calibration)


def _exit_as(calibration: Calibration) -> None:
    """Exit with the code of a calibration that did not end as it should."""
    if calibration.reason is StopReason.INTERRUPTED:
        raise click.exceptions.Exit(_INTERRUPTED)
    if not calibration.succeeded:
        raise click.exceptions.Exit(1)


def _dry_run(page: Page, calibrator: Calibrator, options: CalibrationOptions) -> None:
    """Write the first probe; the next ones depend on what it shows."""
    ready = calibrator.next_probe()
    if ready is None:
        page.sentence(
            "no probe would be run: the step time is known, or no shape is left that the budget holds"
        )
        return
    page.line(f"the first probe: {describe_shape(ready.plan.shape)}", Style.BOLD)
    page.sentence(
        f"  it ends once its step time is known to {options.within:.0%}, or after {format_duration(ready.plan.most_s)}; further "
        f"ones follow by what it shows, until {format_duration(options.budget_gpu_s)} of GPU time are used"
    )
    page.line()
    for problem in ready.prepared.problems:
        say(problem.text)
    write_dry_run(page, ready.prepared)
