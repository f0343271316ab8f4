"""`clusterplan schedule`."""

import sys
from pathlib import Path
from typing import Any

import click

from ..api.campaign.schedule import schedule as schedule_campaign
from ..errors import InputError
from ..estimator.campaign.campaign import Objective
from ..render.campaign.text import progress_text
from .campaign_options import deadline_option, priors_option, profile_option
from .options import echo_result, json_option, show_collecting
from .working import describer


@click.command()
@click.argument("files", nargs=-1, metavar="CAMPAIGN | JOB...", type=click.Path(path_type=Path))
@click.option(
    "--cap",
    "caps",
    multiple=True,
    metavar="GPUS",
    help="GPUs that may be held at once, also of a partition, as in gpu=16. It replaces the caps of the file.",
)
@deadline_option
@click.option(
    "--objective",
    type=click.Choice([str(each) for each in Objective]),
    help="What is made small once deadlines are met.  Default: what the file says, or end.",
)
@profile_option
@click.option(
    "--within",
    default="30s",
    show_default=True,
    metavar="TIME",
    help="How long OR-tools may search for a better plan, where it is installed; 0s plans by lists of jobs alone.",
)
@priors_option
@click.option(
    "--queue",
    is_flag=True,
    help="Ask Slurm for its queue: leave GPUs to running and pending jobs, each until its limit.",
)
@click.option(
    "--svg",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the jobs over time as a picture.",
)
@click.option(
    "--submit",
    is_flag=True,
    help="Submit every job of the plan, each after those that come before it on its GPUs.",
)
@click.option(
    "--replan",
    is_flag=True,
    help="Read what happened to a submitted campaign, and plan the rest anew; safe from cron: it prints nothing if nothing "
    "happened.",
)
@click.option(
    "--dry-run", is_flag=True, help="With --replan: show the plan against what happened, and change nothing."
)
@click.option(
    "--executor",
    type=click.Choice(["slurm", "local"]),
    help="Where --submit runs the jobs.  Default: Slurm if `sbatch` is found, otherwise this machine.",
)
@click.option("--force", is_flag=True, help="Submit even if the checks refuse.")
@json_option
def schedule(
    files: tuple[Path, ...],
    caps: tuple[str, ...],
    deadline: str | None,
    objective: str | None,
    profile: str | None,
    within: str,
    priors: bool,  # noqa: FBT001
    queue: bool,  # noqa: FBT001
    svg: Path | None,
    submit: bool,  # noqa: FBT001
    replan: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    executor: str | None,
    force: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Plan many jobs on few GPUs: who gets how many GPUs when, so that deadlines hold.

    CAMPAIGN is a TOML file of jobs, caps and dates; several job files do too, with --cap:

        clusterplan schedule a.toml b.toml --cap 16
    """
    if not files:
        raise InputError("nothing to schedule: give a campaign file, or several job files and --cap 16")
    _check_options(submit=submit, replan=replan, dry_run=dry_run, executor=executor, force=force, svg=svg)
    source = files[0] if len(files) == 1 else files
    options: dict[str, Any] = {
        "caps": caps,
        "profile": profile,
        "deadline": deadline,
        "within": within,
        "priors": priors,
        "queue": queue,
    }
    if replan or submit:
        from ..api.campaign import launch  # noqa: PLC0415  the launcher, for a plan that is only looked at

        if replan or launch.is_begun(source, profile, caps):
            with show_collecting() as progress:
                happened = launch.replan(source, dry_run=dry_run, force=force, progress=progress, **options)
            if as_json or dry_run or happened.is_changed or sys.stdout.isatty():
                echo_result(happened, as_json=as_json)
            return
    describe = describer()
    with show_collecting() as progress:
        answer = schedule_campaign(
            source,
            objective=objective,
            progress=progress,
            better=describe and (lambda value, bound: describe(progress_text(value, bound, objective))),
            **options,
        )
    if svg:
        svg.write_text(answer.svg(), encoding="utf-8")
    if submit:
        with show_collecting():
            submitted = answer.submit(executor=executor, force=force)
        echo_result(submitted, as_json=as_json)
    else:
        echo_result(answer, as_json=as_json)


def _check_options(
    *, submit: bool, replan: bool, dry_run: bool, executor: str | None, force: bool, svg: Path | None
) -> None:
    """Raise InputError for options that do not go together."""
    if submit and replan:
        raise InputError("--submit and --replan: give one: --submit once, --replan afterwards")
    if dry_run and not replan:
        raise InputError("--dry-run goes with --replan: without --submit nothing is submitted")
    if executor and not submit:
        raise InputError("--executor goes with --submit; --replan uses that of the submission")
    if force and not (submit or replan):
        raise InputError("--force goes with --submit or --replan")
    if svg and replan:
        raise InputError("--svg draws a plan, and not with --replan: leave it out")
