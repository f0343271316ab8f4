"""`clusterplan history export`."""

import sys

import click

from ..api.history.runs import read_readings
from ..errors import InputError
from .completion import complete_run
from .options import echo, say, show_collecting


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--csv", "form", flag_value="csv", default=True, help="Comma-separated values (the default).")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object per line.")
@click.option("--json", "form", flag_value="json", help="One JSON list.")
@click.option("--parquet", "form", flag_value="parquet", help="A Parquet file; needs pyarrow.")
def export(run: str | None, form: str) -> None:
    """Print the raw readings of a run.

    One row is one GPU at one time; readings that were pruned are gone.  RUN is an id or its beginning.  Default: the
    latest run.

        clusterplan history export train-2026 > readings.csv
    """
    if form == "parquet" and sys.stdout.isatty():
        raise InputError("--parquet: is not text for a terminal; add `> readings.parquet`")
    with show_collecting() as progress:
        readings = read_readings(run, progress=progress)
    for remark in readings.remarks:
        say(remark)
    if form == "parquet":
        readings.write_parquet(sys.stdout.buffer)
        return
    for line in readings.lines(form or "csv"):
        echo(line)
