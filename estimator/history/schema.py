"""The history's schema, as migrations that are only ever appended."""

from pathlib import Path

from sqlite_utils import Database, Migrations

from ...errors import HistoryError
from ..measurements.clock_steps import length_sql
from .rollup_table import add_rollup_columns

migrations = Migrations("clusterplan")


def refuse_newer(db: Database, path: Path) -> None:
    """Raise HistoryError if a file has all migrations of this clusterplan, and others too."""
    ours = {migration.name for migration in migrations.pending(Database(memory=True))}
    applied = {migration.name for migration in migrations.applied(db)}
    if ours < applied:
        raise HistoryError(
            f"{path}: is of a newer clusterplan, which made {max(applied - ours)}: upgrade this one, or give another"
            " path in CLUSTERPLAN_HISTORY"
        )


@migrations()
def m001_first_release(db: Database) -> None:
    """Make every table and view of `schema.sql`, and the rollups' own."""
    for statement in Path(__file__).with_name("schema.sql").read_text(encoding="utf-8").split(";\n"):
        db.execute(statement)
    add_rollup_columns(db)


@migrations()
def m002_outcomes(db: Database) -> None:
    """Add how long a run trained, which software it had, and the walltime that was asked for it."""
    for table, columns in {
        "run": (
            "attempts INTEGER",
            "trained_s REAL",  # in all attempts, without the time between them
            "limits_met INTEGER",  # attempts that the time limit ended
            "steps_planned INTEGER",
            "steps_done INTEGER",
            "git_commit TEXT",
            "package_list TEXT REFERENCES package_list",
        ),
        "estimate": (
            "runs INTEGER",  # that it rests on
            "walltime_s REAL",  # of one job, as estimated
            "walltime_asked_s REAL",  # as submitted
            "segments INTEGER",  # jobs in a row
        ),
    }.items():
        for column in columns:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    db.execute("CREATE INDEX measurement_model ON measurement (model)")
    # Runs of one environment share a list.
    db.execute(
        "CREATE TABLE package_list (package_list TEXT PRIMARY KEY, packages TEXT NOT NULL) WITHOUT ROWID"
    )


@migrations()
def m003_start_forecast(db: Database) -> None:
    """Add the start that was forecast for a run at its submission; waits are in seconds from `made_s`."""
    db.execute(
        "CREATE TABLE start_forecast ("
        " run TEXT PRIMARY KEY REFERENCES run,"
        " made_s REAL NOT NULL,"
        " basis TEXT NOT NULL,"  # usage, limits or unknown
        " wait_p10_s REAL,"
        " wait_p50_s REAL,"
        " wait_p90_s REAL,"
        " by_limits_s REAL,"
        " before INTEGER,"  # jobs in line
        " cluster TEXT,"
        " partition TEXT,"
        " reason TEXT"  # of an unknown one
        ") WITHOUT ROWID"
    )


@migrations()
def m004_probes(db: Database) -> None:
    """Add whether a measurement is of a probe, a short run of `calibrate`."""
    db.execute("ALTER TABLE measurement ADD COLUMN is_probe INTEGER NOT NULL DEFAULT 0")


@migrations()
def m005_lengths(db: Database) -> None:
    """Make the lengths of `v_runs` unknown where the clocks of two machines contradict each other."""
    (view,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'v_runs'").fetchone()
    for before, began_s, ended_s in (
        ("round(started_s - began_s, 1)", "began_s", "started_s"),
        ("round(max(ended_s - started_s, 0), 1)", "started_s", "ended_s"),
    ):
        view = view.replace(before, length_sql(began_s, ended_s))
    db.execute("DROP VIEW v_runs")
    db.execute(view)


@migrations()
def m006_damage(db: Database) -> None:
    """Add the sequence of the latest frame of a spool, the values that were left out, and the time of its last counter."""
    db.execute("ALTER TABLE spool ADD COLUMN sequence INTEGER NOT NULL DEFAULT -1")
    db.execute("ALTER TABLE spool ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE spool ADD COLUMN seen_bytes INTEGER NOT NULL DEFAULT -1")
    db.execute("ALTER TABLE spool_gpu ADD COLUMN counter_s REAL")


@migrations()
def m007_faults(db: Database) -> None:
    """Add what was wrong with a run's folder when it was collected last."""
    db.execute(
        "CREATE TABLE fault ("
        " run TEXT PRIMARY KEY,"  # which need not be in the table of runs
        " reason TEXT NOT NULL,"
        " file_stamp TEXT NOT NULL,"  # changes with the file that is at fault
        " folder_stamp TEXT NOT NULL"  # changes with any file of the folder; empty if the fault may go by itself
        ") WITHOUT ROWID"
    )


@migrations()
def m008_partition(db: Database) -> None:
    """Add the partition of Slurm that a run was submitted to."""
    db.execute("ALTER TABLE run ADD COLUMN partition TEXT")
