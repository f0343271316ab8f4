"""`clusterplan history export`."""

import sys
from collections.abc import Iterator

import click

from ..errors import InputError
from ..estimator.history.runs import History
from ..render import readings
from .open_history import find_run, open_history


@click.command()
@click.argument("run", required=False)
@click.option("--csv", "form", flag_value="csv", default=True, help="Comma-separated values (the default).")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object per line.")
@click.option("--json", "form", flag_value="json", help="One JSON list.")
@click.option("--parquet", "form", flag_value="parquet", help="A Parquet file; needs pyarrow.")
def export(run: str | None, form: str) -> None:
    """Print the raw readings of a run.

    One row is one GPU at one time; readings that were pruned are gone.  RUN is an id or its beginning.  Default: the latest run.
    """
    if form == "parquet" and sys.stdout.isatty():
        raise InputError("--parquet: is not text for a terminal; add `> readings.parquet`")
    with open_history() as db:
        rows = _rows(db, find_run(db.runs(), run)["run"])
        if form == "parquet":
            readings.write_parquet(rows, sys.stdout.buffer)
            return
        lines = {"csv": readings.csv_lines, "jsonl": readings.json_lines, "json": readings.json_list}[
            form or "csv"
        ]
        for line in lines(rows):
            click.echo(line)


def _rows(db: History, run: str) -> Iterator[readings.Row]:
    for gpu in db.gpus(run):
        for time_s, reading in db.readings(run, gpu["uuid"]):
            yield run, gpu["node"], gpu["uuid"], time_s, reading
