"""The table of rollups and the views of it, made from the registry of metrics."""

from typing import TYPE_CHECKING

from ..gpu_use.rollup import COLUMNS, Rollup

if TYPE_CHECKING:
    from sqlite_utils import Database

WIDTHS_S = (60, 600)  # of the rollups of a run
TABLE = "rollup_row"

_KEPT = ("width_s", "time_s", "ticks", "utilisation_samples", *COLUMNS)
# The measure by which `gpu_rollup` sums up a column that has a rule of its own.
_MEASURES = {"power_mean_w": "mean", "power_max_w": "max", "throttled_share": "mean"}


def add_rollup_columns(db: "Database") -> None:
    """Add the columns of the registry that the table lacks, and make its views anew; once is as good as twice.

    A migration calls this when a metric was added.  `rollup` has the values in their units, and `gpu_rollup` one row
    per run and GPU: the ten-minute rollups summed up.  Values of `Rolled.parts` > 1 are stored as whole numbers of such
    parts, 3 bytes each where a float takes 8.
    """
    columns = {row[1] for row in db.execute(f"PRAGMA table_info({TABLE})")}
    for column in COLUMNS:
        if column not in columns:
            db.execute(f"ALTER TABLE {TABLE} ADD COLUMN {column} NUMERIC")
    for view, query in {"rollup": _rollup_query(), "gpu_rollup": _gpu_rollup_query()}.items():
        db.execute(f"DROP VIEW IF EXISTS {view}")
        db.execute(f"CREATE VIEW {view} AS {query}")


def insert_rollup() -> str:
    """Return the statement that puts `stored_values` of a run's GPU in the table, in place of those of the same time."""
    series = "SELECT series FROM series WHERE run = ? AND uuid = ?"
    marks = ", ".join("?" * len(_KEPT))
    return f"INSERT OR REPLACE INTO {TABLE} (series, {', '.join(_KEPT)}) VALUES (({series}), {marks})"  # noqa: S608  our own names


def stored_values(rollup: Rollup) -> list[float | None]:
    """Return the columns of a rollup as they are stored, in the order of `insert_rollup`."""
    values = (_stored(rollup.values[name], column.parts) for name, column in COLUMNS.items())
    return [rollup.width_s, rollup.time_s, rollup.ticks, rollup.utilisation_samples, *values]


def _stored(value: float | None, parts: int) -> float | None:
    return value if value is None or parts == 1 else round(value * parts)


def weighted_mean_sql(value: str, weight: str) -> str:
    """Return the SQL of `gpu_use.metrics.weighted_mean`: of `value` over rows, those without a value left out."""
    return f"sum({value} * {weight}) / sum({weight}) FILTER (WHERE {value} IS NOT NULL)"


def _rollup_query() -> str:
    values = (
        name if column.parts == 1 else f"{name} / {column.parts}.0 AS {name}"
        for name, column in COLUMNS.items()
    )
    return (
        f"SELECT run, uuid, width_s, time_s, ticks, utilisation_samples, {', '.join(values)}"  # noqa: S608  our own names
        f" FROM series JOIN {TABLE} USING (series)"
    )


def _gpu_rollup_query() -> str:
    values = [
        f"{summed_up} AS {name}"
        for name, column in COLUMNS.items()
        if (summed_up := _sum_up(name, column.measure or _MEASURES.get(name)))
    ]
    return (
        f"SELECT run, uuid, sum(ticks) AS ticks, {', '.join(values)}"  # noqa: S608  our own names
        f" FROM rollup WHERE width_s = {WIDTHS_S[-1]} GROUP BY run, uuid"
    )


def _sum_up(column: str, measure: str | None) -> str | None:
    """Return the SQL of a column over all its rows; None where rollups alone cannot tell, as for a median."""
    if measure == "mean":
        return weighted_mean_sql(column, "utilisation_samples" if column == "utilisation_mean" else "ticks")
    return f"{measure}({column})" if measure in ("min", "max") else None
