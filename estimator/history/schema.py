"""The history's schema, as migrations that are only ever appended."""

from pathlib import Path

from sqlite_utils import Database, Migrations

from .rollup_table import add_rollup_columns

migrations = Migrations("clusterplan")


@migrations()
def m001_first_release(db: Database) -> None:
    """Make every table and view of `schema.sql`, and the rollups' own."""
    for statement in Path(__file__).with_name("schema.sql").read_text(encoding="utf-8").split(";\n"):
        db.execute(statement)
    add_rollup_columns(db)
