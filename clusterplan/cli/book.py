"""`clusterplan book`."""

from pathlib import Path

import click

from ..api.campaign.book import book as book_campaign
from ..errors import InputError
from .campaign_options import deadline_option, priors_option, profile_option
from .options import echo_result, json_option, show_collecting


@click.command()
@click.argument("files", nargs=-1, metavar="CAMPAIGN | JOB...", type=click.Path(path_type=Path))
@click.option(
    "--cap",
    "caps",
    multiple=True,
    metavar="GPUS",
    help="The most GPUs to book, also of a partition, as in gpu=16.",
)
@click.option(
    "--start",
    metavar="WHEN",
    help="When the reservation begins: a date, or a duration from now.  Default: the next full hour.",
)
@click.option(
    "--nodes", type=click.IntRange(min=1), metavar="N", help="Print the line of the box of so many nodes."
)
@click.option("--users", metavar="NAMES", help="Users of the reservation, with commas.  Default: you.")
@click.option(
    "--accounts", metavar="NAMES", help="Accounts of the reservation.  Default: the account of the settings."
)
@deadline_option
@profile_option
@priors_option
@json_option
def book(
    files: tuple[Path, ...],
    caps: tuple[str, ...],
    start: str | None,
    nodes: int | None,
    users: str | None,
    accounts: str | None,
    deadline: str | None,
    profile: str | None,
    priors: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Say what to book for a campaign: how many nodes for how long, with the line for the administrator.

    CAMPAIGN is a TOML file of jobs, caps and dates; several job files do too, with --cap:

        clusterplan book campaign.toml --start tomorrow
    """
    if not files:
        raise InputError("nothing to book for: give a campaign file, or several job files and --cap 16")
    with show_collecting() as progress:
        answer = book_campaign(
            files[0] if len(files) == 1 else files,
            nodes=nodes,
            start=start,
            users=_names(users),
            accounts=_names(accounts),
            caps=caps,
            profile=profile,
            deadline=deadline,
            priors=priors,
            progress=progress,
        )
    echo_result(answer, as_json=as_json)


def _names(text: str | None) -> list[str]:
    return [name for name in (text or "").split(",") if name]
