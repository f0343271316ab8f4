"""Runs of the history page by page, and the use of GPUs in sums, from a file that is only read."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..runs import History
from .usage import Usage

# What runs may be sorted by, and the SQL of it.
SORTS = {
    "began": "run.began_s",
    "run": "run.run",
    "user": "run.user",
    "model": "run.model",
    "state": "run.state",
    "took": "run.ended_s - run.started_s",
    "gpus": "(SELECT count(*) FROM run_gpu g WHERE g.run = run.run)",
    "utilisation": "(SELECT sum(utilisation_mean * ticks) / sum(ticks) FROM run_gpu g WHERE g.run = run.run)",
    "energy": "(SELECT sum(energy_j) FROM run_gpu g WHERE g.run = run.run)",
}
# The seconds that each GPU of a run was read, as `v_waste` counts them.
_HELD = (
    "SELECT g.run, g.idle_s, g.utilisation_mean, g.energy_j,"
    " sum(s.last_s - s.first_s + coalesce(n.period_s, 1)) AS seconds"
    " FROM run_gpu g JOIN node n USING (run, node) JOIN spool_gpu s USING (run, uuid) {where} GROUP BY g.run, g.uuid"
)
_SUMS = (
    "total(seconds) / 3600 AS gpu_hours, total(min(idle_s, seconds)) / 3600 AS idle_gpu_hours,"
    " total(seconds * utilisation_mean / 100) / 3600 AS used_gpu_hours,"
    " total(seconds) FILTER (WHERE utilisation_mean IS NOT NULL) / 3600 AS known_gpu_hours,"
    " total(energy_j) / 3.6e6 AS energy_kwh"
)


@dataclass(frozen=True)
class RunFilter:
    """Which runs are shown: texts that name, model, user, partition and GPU type contain, states, times, the order.

    `sort` is a key of `SORTS`; None leaves a filter out.
    """

    name: str | None = None
    model: str | None = None
    user: str | None = None
    partition: str | None = None
    gpu: str | None = None
    state: str | None = None
    since_s: float | None = None
    until_s: float | None = None
    sort: str = "began"
    descending: bool = True


@dataclass(frozen=True)
class RunPage:
    """Some rows of `v_runs` in their order, and how many runs match in all."""

    rows: Sequence[dict[str, Any]]
    total: int


class HistoryBrowser(History):
    """The history file at `path`, which is only read.  Raises HistoryError."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_only=True)

    def run_page(self, wanted: RunFilter, limit: int, offset: int = 0) -> RunPage:
        """Return the runs that match from the `offset`-th on, `limit` at most."""
        values = {**asdict(wanted), "limit": limit, "offset": offset}
        direction = "DESC" if wanted.descending else "ASC"
        (count,) = self._rows(f"SELECT count(*) AS total FROM run WHERE {_MATCHES}", values)  # noqa: S608  our own names
        chosen = self._rows(
            f"SELECT run.run FROM run WHERE {_MATCHES} ORDER BY {SORTS[wanted.sort]} {direction} NULLS LAST,"  # noqa: S608  our own names
            " run.began_s DESC, run.run LIMIT :limit OFFSET :offset",
            values,
        )
        ids = [row["run"] for row in chosen]
        rows = self._rows(
            "SELECT * FROM v_runs WHERE run IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
        )
        rows.sort(key=lambda row: ids.index(row["run"]))
        return RunPage(rows, count["total"])

    def has_run(self, run: str) -> bool:
        """Return whether a run of exactly this id is in the history."""
        return bool(self._rows("SELECT 1 FROM run WHERE run = ?", (run,)))

    def usage(self, since_s: float | None = None) -> list[Usage]:
        """Return the use of GPUs by runs of one user, model, partition and state each, begun since a Unix time."""
        held = _HELD.format(where="")
        rows = self._rows(
            "SELECT run.user, run.model, run.partition, run.state, count(*) AS runs, "  # noqa: S608  our own names
            "total(gpu_hours) AS gpu_hours, total(idle_gpu_hours) AS idle_gpu_hours,"
            " total(used_gpu_hours) AS used_gpu_hours, total(known_gpu_hours) AS known_gpu_hours,"
            " total(energy_kwh) AS energy_kwh"
            f" FROM run LEFT JOIN (SELECT run, {_SUMS} FROM ({held}) GROUP BY run) USING (run)"
            " WHERE :since IS NULL OR run.began_s >= :since GROUP BY 1, 2, 3, 4",
            {"since": since_s},
        )
        return [Usage(**row) for row in rows]

    def gpu_types(self) -> list[dict[str, Any]]:
        """Return each type of GPU that runs used: how many GPUs and runs, and what is known of it."""
        return self._rows(
            "SELECT gpu.name, count(DISTINCT g.uuid) AS gpus, count(DISTINCT g.run) AS runs,"
            " max(gpu.memory_bytes) AS memory_bytes, max(gpu.power_limit_w) AS power_limit_w,"
            " sum(g.utilisation_mean * g.ticks) / sum(g.ticks) FILTER (WHERE g.utilisation_mean IS NOT NULL) AS utilisation_mean,"
            " sum(g.power_mean_w * g.ticks) / sum(g.ticks) FILTER (WHERE g.power_mean_w IS NOT NULL) AS power_mean_w"
            " FROM run_gpu g JOIN gpu USING (uuid) GROUP BY gpu.name ORDER BY runs DESC"
        )


_MODEL = (
    "instr(lower(run.model), lower(:model))"
    " OR EXISTS (SELECT 1 FROM measurement m WHERE m.run = run.run AND instr(lower(m.model), lower(:model)))"
)
_GPU = (
    "EXISTS (SELECT 1 FROM run_gpu g JOIN gpu USING (uuid)"
    " WHERE g.run = run.run AND instr(lower(gpu.name), lower(:gpu)))"
)
_MATCHES = " AND ".join(
    (
        "(:name IS NULL OR instr(lower(run.run), lower(:name)) OR instr(lower(run.name), lower(:name)))",
        f"(:model IS NULL OR {_MODEL})",
        "(:user IS NULL OR instr(lower(run.user), lower(:user)))",
        "(:partition IS NULL OR instr(lower(run.partition), lower(:partition)))",
        "(:state IS NULL OR run.state = :state)",
        "(:since_s IS NULL OR run.began_s >= :since_s)",
        "(:until_s IS NULL OR run.began_s < :until_s)",
        f"(:gpu IS NULL OR {_GPU})",
    )
)
