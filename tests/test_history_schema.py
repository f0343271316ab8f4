"""The history's file over releases: it is brought forward, nothing is lost, and a metric can be added."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database, Migrations

import clusterplan
from clusterplan.errors import HistoryError
from clusterplan.estimator.gpu_use.reading import GpuReading
from clusterplan.estimator.gpu_use.rollup import COLUMNS, roll_up
from clusterplan.estimator.history import rollup_table, schema
from clusterplan.estimator.history.integrity import check_integrity
from clusterplan.estimator.history.packed_block import unpack
from clusterplan.estimator.history.rollup_table import add_rollup_columns
from clusterplan.estimator.history.runs import History

T0 = 1_763_900_400.0
GPU = {"uuid": "GPU-0", "index": "0", "name": "NVIDIA H100 80GB HBM3"}


def put_readings(history: Any, seconds: Any) -> None:
    with history.writing():
        history.put_run({"run": "r", "folder": "/r", "state": "running"})
        history.put_node("r", "n1", {"period_s": 1.0}, [GPU])
        rows = [(T0 + s, GpuReading(0, utilisation_percent=s % 100, sm_active=0.5)) for s in seconds]
        history.put_readings("r", "n1.spool", "GPU-0", rows)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The path of a history of this release, with readings of 100 s."""
    path = tmp_path / "history.db"
    with History(path) as history:
        put_readings(history, range(100))
    return path


def read_tables(path: Path) -> dict[str, Any]:
    """Every row of every table but the list of migrations, as dictionaries."""
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    names = [row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    tables = {name: [dict(row) for row in db.execute(f"SELECT * FROM {name}")] for name in names}  # noqa: S608
    db.close()
    del tables["_sqlite_migrations"]
    return tables


def later_release(monkeypatch: Any, migration: Any) -> Migrations:
    """Append a migration to those of this release."""
    longer = Migrations("clusterplan")
    for each in schema.migrations.pending(Database(memory=True)):
        longer(name=each.name)(each.fn)
    longer()(migration)
    monkeypatch.setattr(schema, "migrations", longer)
    return longer


def m999_owner(db: Any) -> None:
    db.execute("ALTER TABLE run ADD COLUMN owner TEXT DEFAULT 'nobody'")


def test_an_older_history_is_brought_forward_with_all_it_holds(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_tables(older)
    later_release(monkeypatch, m999_owner)
    with History(older) as history:
        assert len(list(history.readings("r", "GPU-0"))) == 100
    after = read_tables(older)
    assert [run.pop("owner") for run in after["run"]] == ["nobody"]
    assert after == before
    with History(older):
        pass
    assert [migration.name for migration in schema.migrations.applied(Database(older))][-1] == "m999_owner"


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def m999_broken(db: Any) -> None:
        m999_owner(db)
        db.execute("ALTER TABLE run ADD COLUMN owner TEXT")

    before = read_tables(older)
    later_release(monkeypatch, m999_broken)
    with pytest.raises(HistoryError, match="duplicate column name: owner"):
        History(older)
    assert read_tables(older) == before


def test_commands_that_upgrade_a_history_at_once_all_succeed(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has listed what is to be done, and waits to begin with it, when the other has done it all."""
    migrations = later_release(monkeypatch, m999_owner)
    first = sqlite3.connect(older, isolation_level=None, check_same_thread=False)
    first.execute("BEGIN IMMEDIATE")  # it may be read meanwhile
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(lambda: History(older).close())
        with pytest.raises(TimeoutError):
            second.result(timeout=1)
        migrations.apply(Database(first))
        if first.in_transaction:
            first.execute("COMMIT")
        second.result(timeout=20)
    first.close()


def test_a_rollup_has_every_column_of_the_registry() -> None:
    (rollup,) = roll_up([(T0, GpuReading(0, utilisation_percent=50))], 60)
    assert set(rollup.values) == set(COLUMNS)


# The rollup columns that each migration added.  An entry of a release never changes: a new one has its own migration.
COLUMNS_ADDED = {
    "m001_first_release": """
        utilisation_mean utilisation_min utilisation_max utilisation_p50 memory_utilisation_mean
        memory_peak_bytes power_mean_w power_max_w temperature_max_c sm_clock_mean_mhz
        throttled_share energy_first_mj energy_last_mj sm_active_mean occupancy_mean
        tensor_active_mean dram_active_mean
    """,
}


def test_every_rolled_column_has_a_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that lived through every release has the columns of this one."""
    db = Database(memory=True)
    columns: list[str] = []
    for migration in schema.migrations.pending(db):
        columns += COLUMNS_ADDED.get(migration.name, "").split()
        monkeypatch.setattr(rollup_table, "COLUMNS", {name: COLUMNS[name] for name in columns})
        migration.fn(db)
    missing = COLUMNS.keys() - {column.name for column in db[rollup_table.TABLE].columns}
    assert not missing, (
        f"no migration adds {sorted(missing)}, so that the histories of users would lack them: append a migration"
        " to estimator/history/schema.py that calls add_rollup_columns, and list its columns in COLUMNS_ADDED"
    )


def test_means_are_weighted_by_the_readings_of_each_ten_minutes(older: Path) -> None:
    with History(older) as history:
        put_readings(history, range(600, 650))
        (gpu,) = history.run_gpus("r")
    assert gpu["utilisation_mean"] == pytest.approx((sum(range(100)) + sum(range(50))) / 150, abs=1e-3)
    assert gpu["sm_active_mean"] == 0.5


METRIC = """
    fan_percent: Annotated[
        int | None,
        Metric("%", Call("nvmlDeviceGetFanSpeed"), "B", rolled=(Rolled("fan_max_percent", "max"),)),
    ] = None
"""
MIGRATION = """
@migrations()
def m999_fans(db: Database) -> None:
    add_rollup_columns(db)
"""
NEWER = """
import json, sys
from pathlib import Path
from clusterplan.estimator.gpu_use.reading import GpuReading
from clusterplan.estimator.history.runs import History
with History(Path(sys.argv[1])) as history:
    before = [reading.fan_percent for _, reading in history.readings("r", "GPU-0")]
    rows = [(float(sys.argv[2]) + s, GpuReading(0, utilisation_percent=7, fan_percent=s)) for s in range(50)]
    with history.writing():
        history.put_readings("r", "n1.spool", "GPU-0", rows)
    after = [reading.fan_percent for _, reading in history.readings("r", "GPU-0")]
print(json.dumps([before, after]))
"""


@pytest.fixture
def newer(tmp_path: Path) -> Callable[..., Any]:
    """A function that runs a program with a clusterplan of one more metric: a line in the registry, and a migration."""
    package = tmp_path / "newer" / "clusterplan"
    shutil.copytree(Path(clusterplan.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    registry = package / "estimator" / "gpu_use" / "reading.py"
    before, ring, after = registry.read_text(encoding="utf-8").partition("    ring: tuple")
    registry.write_text(before + METRIC.lstrip("\n") + ring + after, encoding="utf-8")
    with (package / "estimator" / "history" / "schema.py").open("a", encoding="utf-8") as file:
        file.write(MIGRATION)

    def run(program: Any, *arguments: Any) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(package.parent)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return json.loads(done.stdout)

    return run


def test_a_metric_can_be_added(older: Path, newer: Callable[..., Any]) -> None:
    blocks = read_tables(older)["raw_block"]
    assert newer(NEWER, older, T0 + 600) == [[None] * 100, [None] * 100 + list(range(50))]
    assert read_tables(older)["raw_block"][:1] == blocks
    # This release has not the metric: it reads the other ones of a block, and does not touch the file.
    newest = read_tables(older)["raw_block"][1]
    assert [r.utilisation_percent for _, r in unpack(newest["packed"], newest["ticks"])] == [7] * 50
    before = older.read_bytes()
    refusal = "is of a newer clusterplan, which made m999_fans: upgrade this one, or give another path"
    with pytest.raises(HistoryError, match=refusal):
        History(older)
    with pytest.raises(HistoryError, match=refusal):
        check_integrity(older)
    assert older.read_bytes() == before


def test_columns_are_added_once(older: Path) -> None:
    before = sqlite3.connect(older).execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    add_rollup_columns(Database(older))
    assert before == sqlite3.connect(older).execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
