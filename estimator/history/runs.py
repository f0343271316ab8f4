"""Runs in the history: their facts, events and notes.

What differs between runs is in `setups`, step times in `measurements`, estimates in `estimates`, GPU readings in
`samples`, faults of run folders in `faults`, the file itself in `database`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from ...cluster_profiles.precision import Precision
from ..gpu_use.reading import Event, SpoolPosition
from ..gpu_use.record import RunRecord
from .courses import HistoryCourses
from .faults import HistoryFaults
from .setups import HistorySetups, read_texts
from .start_forecasts import HistoryStartForecasts

_MOST_EVENTS = 10_000  # of one node in a run: a GPU that fails says the same for ever
_READ_BYTES = "max(offset, seen_bytes)"
_OF_THE_RUN = ("index", "place")  # facts of a GPU in a run, not of the GPU


class History(HistorySetups, HistoryStartForecasts, HistoryFaults, HistoryCourses):
    """The history file at `path`, made if it is not there.  Raises HistoryError."""

    def put_run(self, facts: Mapping[str, Any]) -> None:
        """Put a run as its folder describes it now."""
        self._put("run", ("run",), facts)

    def reopen_run(self, run: str) -> None:
        """Forget the end of a run that goes on, so that it is collected again."""
        with self.writing():
            self._db.execute(
                "UPDATE run SET state = 'pending', ended_s = NULL, exit_code = NULL WHERE run = ?", (run,)
            )

    def put_packages(self, digest: str, packages: Sequence[str]) -> None:
        """Put a list of packages that runs name by this digest of it."""
        self._db.execute("INSERT OR IGNORE INTO package_list VALUES (?, ?)", (digest, json.dumps(packages)))

    def put_loop(
        self, run: str, steps_done: int | None, planned: Precision | None, used: Precision | None
    ) -> None:
        """Put the last step of a run, the precision that it was planned in, and the one that was seen in it."""
        self._db.execute(
            "UPDATE run SET steps_done = ?, precision_planned = ?, precision_seen = ? WHERE run = ?",
            (steps_done, planned, used, run),
        )

    def put_partition(self, run: str, partition: str | None) -> None:
        """Put the partition of Slurm that a run was submitted to."""
        self._db.execute("UPDATE run SET partition = ? WHERE run = ?", (partition, run))

    def precision_of(self, run: str) -> tuple[Precision | None, Precision | None]:
        """Return the precision that a run was planned in, and the one that was seen in it; None is not known."""
        (row,) = self._rows("SELECT precision_planned, precision_seen FROM run WHERE run = ?", (run,))
        planned, used = (self._decode(name, text, Precision) for name, text in row.items())
        return planned, used

    def put_node(
        self, run: str, node: str, facts: Mapping[str, Any], gpus: Sequence[Mapping[str, Any]]
    ) -> None:
        """Put a node of a run, and its GPUs, by default in the order of their places; `index` is that of nvidia-smi."""
        self._put("node", ("run", "node"), {"run": run, "node": node, **facts})
        for gpu in gpus:
            self._put("gpu", ("uuid",), {key: value for key, value in gpu.items() if key not in _OF_THE_RUN})
        self._db.executemany(
            "INSERT OR IGNORE INTO run_gpu (run, uuid, node, place, gpu_index, ticks) VALUES (?, ?, ?, ?, ?, 0)",
            [
                (run, gpu["uuid"], node, gpu.get("place", place), gpu.get("index"))
                for place, gpu in enumerate(gpus)
            ],
        )

    def has_ended(self, run: str) -> bool:
        """Return whether the history knows the end of a run."""
        return bool(self._rows("SELECT 1 FROM run WHERE run = ? AND ended_s IS NOT NULL", (run,)))

    def has_whole(self, run: str, spool_bytes: Mapping[str, int]) -> bool:
        """Return whether the history has an ended run, all of spools of these sizes, and knows of no fault."""
        rows = self._rows(f"SELECT spool, {_READ_BYTES} AS offset FROM spool WHERE run = ?", (run,))  # noqa: S608  ours
        is_whole = self.has_ended(run) and {row["spool"]: row["offset"] for row in rows} == dict(spool_bytes)
        return is_whole and self.fault(run) is None

    def ended(self) -> dict[str, dict[str, int]]:
        """Return the bytes of each spool that are in the history, for every run that has ended, and whose folder is whole."""
        positions: dict[str, dict[str, int]] = {}
        for row in self._rows(
            f"SELECT run.run, spool, {_READ_BYTES} AS offset FROM run LEFT JOIN spool USING (run)"  # noqa: S608  ours
            " WHERE ended_s IS NOT NULL AND run.run NOT IN (SELECT run FROM fault)"
        ):
            spools = positions.setdefault(row["run"], {})
            if row["spool"] is not None:
                spools[row["spool"]] = row["offset"]
        return positions

    def spool_position(self, run: str, spool: str) -> SpoolPosition:
        """Return the position up to which a spool is in the history."""
        rows = self._rows(
            f"SELECT {', '.join(SpoolPosition._fields)} FROM spool WHERE run = ? AND spool = ?",  # noqa: S608  our names
            (run, spool),
        )
        return SpoolPosition(**rows[0]) if rows else SpoolPosition()

    def put_spool(self, run: str, spool: str, node: str, position: SpoolPosition) -> None:
        """Put the position up to which a spool was read."""
        self._put("spool", ("run", "spool"), {"run": run, "spool": spool, "node": node, **position._asdict()})

    def put_events(self, run: str, node: str, events: Iterable[tuple[Event, str | None]]) -> None:
        """Add events, each with the UUID of its GPU; an event that is in the history stays as it is.

        Those beyond `_MOST_EVENTS` of a node are left out.
        """
        (kept,) = self._rows("SELECT count(*) AS events FROM event WHERE run = ? AND node = ?", (run, node))
        self._db.executemany(
            "INSERT OR IGNORE INTO event (run, node, time_s, kind, uuid, text) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (run, node, event.time_s, event.kind, uuid, event.text)
                for event, uuid in islice(events, max(_MOST_EVENTS - kept["events"], 0))
            ],
        )

    def put_notes(self, run: str, notes: Iterable[Mapping[str, Any]]) -> None:
        """Put the report's notes on a run, in place of earlier ones."""
        self._db.execute("DELETE FROM note WHERE run = ?", (run,))
        self._db.executemany(
            "INSERT OR IGNORE INTO note (run, code, text, uuids) VALUES (?, ?, ?, ?)",
            [(run, note["code"], note["text"], json.dumps(note["uuids"])) for note in notes],
        )

    def remove_entered(self, run: str) -> None:
        """Forget a run that has nothing but entered measurements."""
        for table in ("measurement", "note", "run"):
            self._db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))  # noqa: S608  tables are ours

    def runs(
        self,
        *,
        name: str | None = None,
        model: str | None = None,
        gpu: str | None = None,
        since_s: float | None = None,
        until_s: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return runs, the latest first: whose name, model and GPU type contain these texts, begun between these times."""
        return self._rows(
            "SELECT v.* FROM run JOIN v_runs v USING (run)"
            " WHERE (:name IS NULL OR instr(lower(run.name), lower(:name)))"
            " AND (:model IS NULL OR instr(lower(run.model), lower(:model))"
            "   OR EXISTS (SELECT 1 FROM measurement m WHERE m.run = run.run AND instr(lower(m.model), lower(:model))))"
            " AND (:since IS NULL OR run.began_s >= :since) AND (:until IS NULL OR run.began_s < :until)"
            " AND (:gpu IS NULL OR EXISTS (SELECT 1 FROM run_gpu g JOIN gpu USING (uuid)"
            "   WHERE g.run = run.run AND instr(lower(gpu.name), lower(:gpu))))"
            " ORDER BY run.began_s DESC",
            {"name": name, "model": model, "gpu": gpu, "since": since_s, "until": until_s},
        )

    def run(self, run: str) -> dict[str, Any]:
        """Return one run that is in the history, as `runs` has it."""
        (row,) = self._rows("SELECT * FROM v_runs WHERE run = ?", (run,))
        return row

    def gpus(self, run: str) -> list[dict[str, Any]]:
        """Return the GPUs of a run as `v_gpu_utilisation` has them."""
        return self._rows("SELECT * FROM v_gpu_utilisation WHERE run = ?", (run,))

    def events(self, run: str) -> list[dict[str, Any]]:
        """Return the events of a run, in order."""
        return self._rows("SELECT * FROM event WHERE run = ? ORDER BY time_s", (run,))

    def notes(self, run: str) -> list[dict[str, Any]]:
        """Return the report's notes on a run, as they were when it had ended: `code`, `text`, `uuids`."""
        rows = self._rows("SELECT code, text, uuids FROM note WHERE run = ? ORDER BY rowid", (run,))
        return [{**row, "uuids": self._decode("uuids", row["uuids"], read_texts)} for row in rows]

    def run_gpus(self, run: str) -> list[dict[str, Any]]:
        """Return the GPUs of a run with everything known of them, `gpu_rollup` too, in the order of their places."""
        return self._rows(  # of two columns of one name the first counts
            "SELECT g.*, gpu.name, gpu.memory_bytes, gpu.power_limit_w, node.period_s, node.attribution,"
            " run.ended_s, r.*"
            " FROM run_gpu g JOIN gpu USING (uuid) JOIN node USING (run, node) JOIN run USING (run)"
            " LEFT JOIN (SELECT * FROM gpu_rollup WHERE run = :run) r USING (uuid)"
            " WHERE g.run = :run ORDER BY node, place",
            {"run": run},
        )

    def record(self, run: str) -> RunRecord:
        """Return everything that a report needs of a run that is in the history."""
        estimate, step_time_s, trained_s = self.estimate_of(run)
        return RunRecord(
            run=self.run(run),
            gpus=self.run_gpus(run),
            events=self.events(run),
            stretches=self.stretches(run),
            has_ended=self.has_ended(run),
            notes=self.notes(run),
            precision=self.precision_of(run),
            estimate=estimate,
            step_time_s=step_time_s,
            trained_s=trained_s,
            loop_notes=partial(self.loop_notes, run),
            raw_ticks=partial(self.raw_ticks, run),
            readings=partial(self.readings, run),
            timelines=partial(self.timelines, run),
            damage=self._rows(
                "SELECT node, damaged_bytes, dropped FROM spool WHERE run = ? AND max(damaged_bytes, dropped) > 0",
                (run,),
            ),
        )
