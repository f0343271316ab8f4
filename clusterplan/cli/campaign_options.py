"""The options that `schedule` and `book` share: what a campaign file may leave out."""

import click

deadline_option = click.option(
    "--deadline", metavar="WHEN", help='Deadline of jobs without one: "2d", "friday 18:00", or a date.'
)
profile_option = click.option(
    "--profile", metavar="NAME|PATH", help="Cluster profile of jobs that name none."
)
priors_option = click.option(
    "--priors", is_flag=True, help="Plan jobs that nobody has measured at the P90 of a guess from their size."
)
