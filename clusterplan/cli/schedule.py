"""`clusterplan schedule`."""

from pathlib import Path

import click

from ..api.campaign.schedule import schedule as schedule_campaign
from ..errors import InputError
from ..estimator.campaign.campaign import Objective
from ..render.campaign.text import progress_text
from .campaign_options import deadline_option, priors_option, profile_option
from .options import echo_result, json_option, progress_line, show_collecting


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
    as_json: bool,  # noqa: FBT001
) -> None:
    """Plan many jobs on few GPUs: who gets how many GPUs when, so that deadlines hold.

    CAMPAIGN is a TOML file of jobs, caps and dates; several job files do too, with --cap:

        clusterplan schedule a.toml b.toml --cap 16
    """
    if not files:
        raise InputError("nothing to schedule: give a campaign file, or several job files and --cap 16")
    with show_collecting() as progress, progress_line() as show:
        answer = schedule_campaign(
            files[0] if len(files) == 1 else files,
            caps=caps,
            profile=profile,
            objective=objective,
            deadline=deadline,
            within=within,
            priors=priors,
            queue=queue,
            progress=progress,
            better=show and (lambda plan_value, bound: show(progress_text(plan_value, bound, objective))),
        )
    if svg:
        svg.write_text(answer.svg(), encoding="utf-8")
    echo_result(answer, as_json=as_json)
